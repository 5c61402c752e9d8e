-- What is taken down is the own status of an account: one truth, written behind the log like all
-- of the row. The table of before was never written to.
CREATE INDEX accounts_taken_down ON accounts (id) WHERE local_status = 'takendown';

DROP TABLE takedowns;
