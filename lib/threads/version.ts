/**
 * What we call ourselves to hosts and directories.
 * @thread any
 */
import { buildInfo } from '../config/build-info.ts';

const BUILD = buildInfo();

/** Version, and the commit where the build knows it. */
export const VERSION =
  BUILD.commit === '' ? BUILD.version : `${BUILD.version}+${BUILD.commit.slice(0, 12)}`;
export const USER_AGENT = `skyrelay/${BUILD.version} (atproto-relay)`;
