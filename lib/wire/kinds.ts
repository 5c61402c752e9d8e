/**
 * The four kinds of event. The numbers are stored in the log and cross threads: never change one.
 * @thread any
 */
export const KIND_COMMIT = 1;
export const KIND_SYNC = 2;
export const KIND_IDENTITY = 3;
export const KIND_ACCOUNT = 4;

export type Kind =
  | typeof KIND_COMMIT
  | typeof KIND_SYNC
  | typeof KIND_IDENTITY
  | typeof KIND_ACCOUNT;

/** `t` of a frame header by kind; index 0 is no kind. */
export const KIND_NAMES = ['', '#commit', '#sync', '#identity', '#account'] as const;
