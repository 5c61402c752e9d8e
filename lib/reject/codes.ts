/**
 * THE table of reasons for which an event is not emitted. The code is the metric label, the log
 * field and the anchor in docs/REJECTS.md. Closed: a reason that is not here does not compile.
 * Actions: `ignore` skips the frame, `drop` this event only, `strike` drops and marks the host
 * (three in ten minutes close the connection), `close` ends the connection.
 * @thread any
 */
export type RejectAction = 'ignore' | 'drop' | 'strike' | 'close';
type Row = { readonly action: RejectAction; readonly doc: string };

export const REJECTS = {
  frame_not_binary: { action: 'close', doc: 'The message is a text frame (H1).' },
  frame_too_large: { action: 'close', doc: 'The message is over 5,000,000 bytes (H15).' },
  frame_header_bad: {
    action: 'strike',
    doc: 'The header is no map with `op` and `t` (H6, H7, H9).',
  },
  frame_op_unknown: { action: 'ignore', doc: 'An `op` other than 1 and -1 (H8).' },
  frame_kind_unknown: { action: 'ignore', doc: 'A `t` that is no event kind we know (H10).' },
  frame_trailing_bytes: { action: 'strike', doc: 'Bytes after the second object (H4).' },
  frame_error_op: { action: 'close', doc: 'The host sent an error frame (H11, H12, H13).' },
  wire_cbor_bad: {
    action: 'strike',
    doc: 'Not canonical DRISL, or beyond its budgets (CB-1…CB-11).',
  },
  wire_payload_not_map: { action: 'strike', doc: 'The payload is no map (H31).' },
  wire_field_missing: { action: 'drop', doc: 'A required field is missing (H42).' },
  wire_field_bad: { action: 'drop', doc: 'A field has a wrong type or value (H42).' },
  wire_time_bad: { action: 'drop', doc: '`time` is no RFC 3339 datetime of the lexicon (H51).' },
  wire_output_too_large: { action: 'drop', doc: 'Our frame would be over 5,000,000 bytes.' },
  host_seq_bad: { action: 'drop', doc: '`seq` is not in 1 … 2^53-1 (H34, H35).' },
  host_seq_regressed: { action: 'drop', doc: '`seq` is not above the last one (H36, H37).' },
  host_replayed_late: { action: 'drop', doc: 'Replayed after a later event of its account.' },
  host_not_authority: { action: 'drop', doc: "The host is not the account's PDS (HO-1, H138)." },
  did_syntax_bad: { action: 'drop', doc: 'The DID breaks the syntax (H45, H46, H47).' },
  did_method_unsupported: { action: 'drop', doc: 'Neither did:plc nor did:web (H48, H49).' },
  identity_unresolved: { action: 'drop', doc: 'The DID did not resolve in time (H148).' },
  identity_not_found: { action: 'drop', doc: 'The directory does not know the DID.' },
  identity_tombstoned: { action: 'drop', doc: 'The DID is tombstoned (H147).' },
  identity_document_bad: { action: 'drop', doc: 'The document is for another DID or no document.' },
  identity_key_missing: { action: 'drop', doc: 'No valid #atproto key (H93).' },
  identity_pds_missing: { action: 'drop', doc: 'No valid #atproto_pds entry (H142).' },
  identity_hold_full: { action: 'drop', doc: 'Too many bytes wait for keys already.' },
  identity_host_limited: {
    action: 'drop',
    doc: 'An unknown DID of a host whose frames cause too many look-ups (LM-11, H150).',
  },
  identity_rate_limited: { action: 'drop', doc: 'Too many identity events of one DID (H152).' },
  account_inactive: { action: 'drop', doc: 'The account is inactive at its host (AC-5, H153).' },
  account_takendown: { action: 'drop', doc: 'The account is taken down here (H157).' },
  account_host_throttled: {
    action: 'drop',
    doc: 'A new account of a host that has all it may have (LM-11, H150).',
  },
  commit_rev_bad: { action: 'drop', doc: '`rev` is no TID (H50).' },
  commit_rev_mismatch: { action: 'drop', doc: '`rev` differs from the signed commit (H78).' },
  commit_rev_future: { action: 'drop', doc: '`rev` is too far in the future (CH-2, H126).' },
  commit_rev_stale: { action: 'drop', doc: '`rev` is not above the last one (CH-1, H123, H124).' },
  commit_rev_equivocated: { action: 'drop', doc: 'Same `rev`, other commit (H125).' },
  commit_ops_too_many: { action: 'drop', doc: 'More than 200 operations (LM-5, H52).' },
  commit_op_bad: { action: 'drop', doc: 'An operation has a wrong shape (H59, H60).' },
  commit_op_duplicate: { action: 'drop', doc: 'A path twice in one commit (H61).' },
  commit_path_bad: { action: 'drop', doc: 'A path breaks the syntax (H57).' },
  commit_blocks_too_large: { action: 'drop', doc: '`blocks` over its limit (LM-2, LM-3).' },
  commit_blocks_empty: { action: 'drop', doc: '`blocks` is empty (H54).' },
  commit_car_bad: { action: 'drop', doc: 'Not a CARv1 (H62, H63, H69).' },
  commit_car_blocks_too_many: { action: 'drop', doc: 'More than 10,000 blocks in one CAR (S36).' },
  commit_block_cid_bad: { action: 'drop', doc: 'A block under a CID of no blessed form (H70).' },
  commit_block_hash_bad: { action: 'drop', doc: 'A block does not match its CID (H68).' },
  commit_root_missing: { action: 'drop', doc: 'The commit block is not in the CAR (H64).' },
  commit_cid_mismatch: { action: 'drop', doc: '`commit` differs from the CAR root (H65).' },
  commit_object_bad: {
    action: 'drop',
    doc: 'The commit object is malformed (H75, H79, H80, H82).',
  },
  commit_version_bad: { action: 'drop', doc: 'Commit version is not 3 (H76).' },
  commit_did_mismatch: { action: 'drop', doc: 'The commit is for another DID (H77).' },
  commit_signature_malformed: { action: 'drop', doc: 'Not 64 bytes of r‖s in range (H84, H87).' },
  commit_signature_high_s: { action: 'drop', doc: 'The signature is not low-S (H86).' },
  commit_signature_bad: { action: 'drop', doc: 'The key did not make this signature (H88).' },
  commit_mst_bad: { action: 'drop', doc: 'The tree breaks its structure (H103…H116).' },
  commit_mst_limit: { action: 'drop', doc: 'The tree is beyond its limits (LM-9, H113).' },
  commit_block_missing: {
    action: 'drop',
    doc: 'A block needed for the proof is absent (H94, H97).',
  },
  commit_record_missing: { action: 'drop', doc: 'A record block is absent (H101).' },
  commit_record_too_large: { action: 'drop', doc: 'A record over 1,000,000 bytes (LM-4, H56).' },
  commit_record_bad: { action: 'drop', doc: 'A record block is not CBOR (H122).' },
  commit_op_mismatch: { action: 'drop', doc: 'An operation differs from the tree (H99, H100).' },
  commit_inversion_failed: {
    action: 'drop',
    doc: 'Undone, it is not `prevData` (H96, H98, H102).',
  },
  commit_prev_data_missing: { action: 'drop', doc: '`prevData` absent, repo known (CH-5, H133).' },
  verify_quarantined: {
    action: 'strike',
    doc: 'The frame ended a verify thread twice; kept on disk.',
  },
  verify_failed: { action: 'drop', doc: 'Our verifier failed on the frame; kept on disk.' },
} as const satisfies Record<string, Row>;

export type RejectCode = keyof typeof REJECTS;

/** All codes in table order; the index is the number that crosses threads. */
export const REJECT_CODES = Object.keys(REJECTS) as readonly RejectCode[];

const INDEX_OF = new Map<RejectCode, number>(REJECT_CODES.map((code, index) => [code, index]));

export function rejectIndex(code: RejectCode): number {
  return INDEX_OF.get(code) ?? -1;
}
