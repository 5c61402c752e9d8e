/**
 * From what the HTTP library or a handler throws to an XRPC error: no stack, no version, nothing
 * of ours (S17). Pure.
 * @thread main
 */
import { errorCode, RelayFault } from '../base/fault.ts';
import type { Refusal } from '../broadcast/handshake.ts';
import { type Answer, invalidRequest, tryLater, xrpcError } from './answer.ts';

/** The answer for an error, and whether it is a fault of ours that has to be logged. */
export function answerOfError(error: unknown): { answer: Answer; isOurs: boolean } {
  if (error instanceof RelayFault) return { answer: tryLater('try again later'), isOurs: true };
  switch (errorCode(error)) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return { answer: xrpcError(413, 'PayloadTooLarge', 'the body is too large'), isOurs: false };
    case 'FST_ERR_HANDLER_TIMEOUT':
      return { answer: tryLater('no answer in time'), isOurs: true };
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_EMPTY_TYPE':
    case 'FST_ERR_BAD_URL':
    case 'ECONNRESET':
      return { answer: invalidRequest('the request is malformed'), isOurs: false };
    default:
      return {
        answer: xrpcError(500, 'InternalServerError', 'internal server error'),
        isOurs: true,
      };
  }
}

/** The answer for bytes that are no HTTP request, or a request that took too long to arrive. */
export function refusalOfClientError(code: string): Refusal {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, name: 'InvalidRequest', message: 'the headers are too large' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, name: 'InvalidRequest', message: 'the request took too long' };
    default:
      return { status: 400, name: 'InvalidRequest', message: 'the request is malformed' };
  }
}
