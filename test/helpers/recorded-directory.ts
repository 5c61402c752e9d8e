/**
 * The directory of the recorded session: for each account the document that was valid at a moment
 * of the session, with its PDS where it is played now.
 */
import type { SessionAudit, SessionIdentity } from './real-session.ts';

type Operation = {
  readonly alsoKnownAs: readonly string[];
  readonly verificationMethods: { readonly atproto: string };
  readonly services: { readonly atproto_pds: { readonly endpoint: string } };
};
export type RecordedChange = {
  readonly did: string;
  /** Wall-clock time of the session. */
  readonly epochMs: number;
  readonly document: object;
};

/** All documents of all accounts in the order in which they became valid. */
export function recordedChanges(
  identities: Readonly<Record<string, SessionIdentity>>,
  endpointOf: ReadonlyMap<string, string>,
): RecordedChange[] {
  const changes = Object.entries(identities).flatMap(([did, { doc, audit = [] }]) => {
    const changesOfDid = audit.map((entry, index) => ({
      did,
      epochMs: Date.parse(entry.createdAt),
      // The last one as the directory gave it, with its older form of the key.
      document: moved(index === audit.length - 1 ? doc : documentOf(did, entry), endpointOf),
    }));
    // A did:web has no log: its document holds for the whole session.
    return audit.length > 0
      ? changesOfDid
      : [{ did, epochMs: 0, document: moved(doc, endpointOf) }];
  });
  return changes.sort((a, b) => a.epochMs - b.epochMs);
}

function moved(document: unknown, endpointOf: ReadonlyMap<string, string>): object {
  let text = JSON.stringify(document);
  for (const [from, to] of endpointOf) text = text.replaceAll(`"${from}"`, `"${to}"`);
  return JSON.parse(text);
}

function documentOf(did: string, { operation }: SessionAudit): object {
  const { alsoKnownAs, verificationMethods, services } = operation as Operation;
  return {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
    id: did,
    alsoKnownAs,
    verificationMethod: [
      {
        id: `${did}#atproto`,
        type: 'Multikey',
        controller: did,
        publicKeyMultibase: verificationMethods.atproto.replace('did:key:', ''),
      },
    ],
    service: [
      {
        id: '#atproto_pds',
        type: 'AtprotoPersonalDataServer',
        serviceEndpoint: services.atproto_pds.endpoint,
      },
    ],
  };
}
