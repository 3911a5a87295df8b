// SPDX-License-Identifier: Apache-2.0
// Two OpenID providers (node-oidc-provider) on one free port, with PKCE required, for the tests of signing in: at /
// (as Okta has it) and at /realms/test (as Keycloak does). Prints {"issuer": ...} when it listens; arguments are the
// callback URLs. Accounts are made of the name that is typed: name@groups,with,commas; the password is "right".
//
// POST /control makes it misbehave:
//   {"forge": {"claims", "header", "alg", "key"}}  the next id_token, made anew with these claims and header;
//        alg "none" or "HS256" (with the public key as the secret), key "other": one that was never published
//   {"rotate": "kid"}          new keys under this name, the old ones gone
// The end of its standard input ends it.
import { createHmac, generateKeyPairSync, createPublicKey, sign } from 'node:crypto';
import http from 'node:http';
import { Provider } from 'oidc-provider';

const callbacks = process.argv.slice(2);
const realm = '/realms/test';
const state = { forge: null, keys: null };

const newKeys = (kid) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  return {
    rsa,
    kid,
    jwks: {
      keys: [
        { ...rsa.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' },
        { ...ec.export({ format: 'jwk' }), kid: `${kid}-es`, use: 'sig', alg: 'ES256' },
      ],
    },
  };
};

const account = (id) => {
  const [name, groups] = id.split('@');
  return {
    accountId: id,
    claims: () => ({
      sub: `id-of-${name.toLowerCase()}`, preferred_username: name, email: `${name}@example.com`,
      ...(groups === undefined ? {} : { groups: groups.split(',').filter(Boolean) }),
    }),
  };
};

const client = (id, secret, more) => ({
  client_id: id, client_secret: secret, redirect_uris: callbacks, response_types: ['code'],
  grant_types: ['authorization_code'], ...more,
});

const newProvider = (issuer) => new Provider(issuer, {
  clients: [
    client('pantera', 'provider-s3cret:with/odd=signs'),
    client('pantera-es', 'another-secret', {
      id_token_signed_response_alg: 'ES256', token_endpoint_auth_method: 'client_secret_post',
    }),
  ],
  jwks: state.keys.jwks,
  pkce: { required: () => true, methods: ['S256'] },
  conformIdTokenClaims: false, // groups and names in the id_token
  claims: { openid: ['sub', 'groups'], profile: ['preferred_username'], email: ['email'] },
  findAccount: (ctx, id) => account(id),
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ['only for tests'] },
});

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// A token like `token`, but for what `f` says.
const forge = (token, f) => {
  const [header, claims] = token.split('.').slice(0, 2).map((t) => JSON.parse(Buffer.from(t, 'base64url')));
  const text = `${part({ ...header, ...f.header, ...(f.alg && { alg: f.alg }) })}.${part({ ...claims, ...f.claims })}`;
  if (f.alg === 'none') return `${text}.`;
  if (f.alg === 'HS256') {
    const pem = createPublicKey(state.keys.rsa).export({ type: 'spki', format: 'pem' });
    return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
  }
  const key = f.key === 'other' ? newKeys('x').rsa : state.keys.rsa;
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
};

// Rewrites what the token endpoint answers, once.
const tamper = (res) => {
  const end = res.end.bind(res);
  const f = state.forge;
  state.forge = null;
  res.end = (body, ...rest) => {
    const answer = JSON.parse(body);
    if (!answer.id_token) return end(body, ...rest);
    answer.id_token = forge(answer.id_token, f);
    const text = JSON.stringify(answer);
    res.setHeader('content-length', Buffer.byteLength(text));
    return end(text);
  };
};

let issuer;
let root;
let below;
const restart = (kid) => {
  state.keys = newKeys(kid);
  root = newProvider(issuer).callback();
  below = newProvider(issuer + realm).callback();
};

const control = (req, res) => {
  let body = '';
  req.on('data', (chunk) => { body += chunk; });
  req.on('end', () => {
    const order = JSON.parse(body);
    if (order.forge) state.forge = order.forge;
    if (order.rotate) restart(order.rotate);
    res.end();
  });
};

const server = http.createServer((req, res) => {
  if (req.url === '/control') return control(req, res);
  if (state.forge && req.url.endsWith('/token')) tamper(res);
  if (!req.url.startsWith(`${realm}/`)) return root(req, res);
  req.originalUrl = req.url;
  req.url = req.url.slice(realm.length);
  return below(req, res);
});
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  restart('first');
  console.log(JSON.stringify({ issuer }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
