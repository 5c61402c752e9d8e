/** A self-signed certificate for `localhost`, valid until 2120; protects nothing. */
import { createPrivateKey, X509Certificate } from 'node:crypto';

const KEY_DER = `
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0flIUp6PeaO8AosJ0QRNkGZjeOvFxavBKs5zl+Ck
/VahRANCAATyIAEEfvsWgI0DXaHGACxXyOAqr/B5nvfAJINF9eH5Ybn5DHkzmsdg7S9QpZwnWuTmtHqayFJ7zanH
9zUgVwDE`;
const CERTIFICATE_DER = `
MIIBXjCCAQSgAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwIBcNMjAwMTAxMDAwMDAw
WhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BPIgAQR++xaAjQNdocYALFfI4Cqv8Hme98Akg0X14flhufkMeTOax2DtL1ClnCda5Oa0eprIUnvNqcf3NSBXAMSj
RTBDMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAMBgNVHRMEBTADAQH/MB0GA1UdDgQWBBT2sSfOxE+5czFw+pcZZ2Xc
HSskrzAKBggqhkjOPQQDAgNIADBFAiEAqrF6XqEMA0BlFLMf4DLHwR/yaxxAR9ohR0zPy34JNRwCIDr92KU1ffO8
nh/Zw9VxBerGHEWnbo2FQQEMh+2W8utW`;

export const KEY_PEM = createPrivateKey({
  key: Buffer.from(KEY_DER, 'base64'),
  format: 'der',
  type: 'pkcs8',
}).export({ format: 'pem', type: 'pkcs8' });

export const CERTIFICATE_PEM = new X509Certificate(
  Buffer.from(CERTIFICATE_DER, 'base64'),
).toString();
