/**
 * How consumers of these tests behave:
 *
 *   fast      takes all there is
 *   trickle   takes 1 KiB a second
 *   mute      reads nothing after the handshake
 *   bursty    reads for a second, then for three it does not
 *   behind    begins with the oldest event, then takes all there is
 *   chatty    takes 1 KiB at a time, and sends frames of 1 KiB
 *   pinging   takes all there is, and pings twenty times a second
 */
export const HABITS = ['fast', 'trickle', 'mute', 'bursty', 'behind', 'chatty', 'pinging'] as const;
export type Habit = (typeof HABITS)[number];
