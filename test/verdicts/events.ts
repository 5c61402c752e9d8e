/** What came out of the relay, in words. */
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_ACCOUNT } from '../../lib/wire/kinds.ts';

/** What the `#account` events among these frames say: `inactive takendown`, `active`. */
export function saidBy(frames: readonly Buffer[]): string[] {
  const view = new EventView();
  return frames.flatMap((bytes) => {
    if (decodeEvent(bytes, KIND_ACCOUNT, view) !== undefined) return [];
    const status = view.hasStatus ? ` ${view.status}` : '';
    return `${view.active ? 'active' : 'inactive'}${status}`;
  });
}
