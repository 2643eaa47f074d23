// Verifies bundles with sigstore's own libraries: node verify.mjs PUBLIC-KEY.pem KEY-ID BUNDLE…
// One line of JSON a bundle: {"ok": true, "payload": "<base64>"} or {"ok": false, "error": "…"}.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.INTEROP_MODULES}/`);
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const [keyFile, keyId, ...bundles] = process.argv.slice(2);
const rawBytes = createPublicKey(readFileSync(keyFile)).export({ type: 'spki', format: 'der' });
const root = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const trust = toTrustMaterial(root, { [keyId]: { rawBytes } });
const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0, timestampThreshold: 0 });

for (const file of bundles) {
  try {
    const bundle = bundleFromJSON(JSON.parse(readFileSync(file, 'utf8')));
    verifier.verify(toSignedEntity(bundle));
    const payload = bundle.content.dsseEnvelope.payload.toString('base64');
    console.log(JSON.stringify({ ok: true, payload }));
  } catch (error) {
    console.log(JSON.stringify({ ok: false, error: String(error) }));
  }
}
