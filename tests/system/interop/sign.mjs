// Writes a bundle with sigstore's own libraries: node sign.mjs PRIVATE-KEY.pem KEY-ID STATEMENT > BUNDLE
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.INTEROP_MODULES}/`);
const { bundleToJSON } = require('@sigstore/bundle');
const { DSSEBundleBuilder } = require('@sigstore/sign');

const [keyFile, keyId, statement] = process.argv.slice(2);
const key = createPrivateKey(readFileSync(keyFile));
const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' });
const signer = {
  sign: async (data) => ({
    signature: sign('sha256', data, key),
    key: { $case: 'publicKey', publicKey, hint: keyId },
  }),
};
const builder = new DSSEBundleBuilder({ signer, witnesses: [] });
const bundle = await builder.create({ data: readFileSync(statement), type: 'application/vnd.in-toto+json' });
process.stdout.write(JSON.stringify(bundleToJSON(bundle)));
