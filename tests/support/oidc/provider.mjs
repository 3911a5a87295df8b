// SPDX-License-Identifier: Apache-2.0
// Two OpenID providers (node-oidc-provider) on one free port, with PKCE required, for the tests of signing in: at /
// (as Okta has it) and at /realms/test (as Keycloak does). Prints {"issuer": ...} when it listens; arguments are the
// callback URLs. Accounts are made of the name that is typed: name@groups,with,commas; the password is "right".
//
// POST /control makes it misbehave:
//   {"forge": {"claims", "header", "alg", "key"}}  the next id_token, made anew with these claims and header;
//        alg "none" or "HS256" (with the public key as the secret), key "other": one that was never published
//   {"endless": true}          the next answer of the token endpoint never ends
//   {"rotate": "kid"}          new keys under this name, the old ones gone
// GET /control gives, and forgets, who was asked for with which password.
//
// With a password: the token endpoints take the password grant (names that begin with "realm-"; "realm-mfa-" with
// totp=654321), and /api/v1/authn is a fake of Okta's (all other names; "mfa-" with the code 123456 of the second of
// two devices; "push-" and "locked-" as they say), whose sessionToken opens the authorization endpoint at /.
// The end of its standard input ends it.
import { createHmac, generateKeyPairSync, createPublicKey, sign } from 'node:crypto';
import http from 'node:http';
import { Provider, errors } from 'oidc-provider';

const callbacks = process.argv.slice(2);
const realm = '/realms/test';
const state = { endless: false, forge: null, keys: null, asked: [] };
const sessions = new Map();

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
  grant_types: ['authorization_code', 'password'], ...more,
});

// Keycloak's direct access grant.
const passwordGrant = (provider) => async (ctx, next) => {
  const { username, password, totp, scope } = ctx.oidc.params;
  state.asked.push(`grant ${username}`);
  const good = username.startsWith('realm-') && password === 'right';
  if (!good || (username.startsWith('realm-mfa-') && totp !== '654321')) throw new errors.InvalidGrant('wrong');
  const token = new provider.IdToken({ ...account(username).claims() }, { ctx });
  token.scope = scope;
  ctx.body = { access_token: 'unused', token_type: 'Bearer', id_token: await token.issue({ use: 'idtoken' }) };
  await next();
};

const newProvider = (issuer) => {
  const provider = bareProvider(issuer);
  provider.registerGrantType('password', passwordGrant(provider), ['username', 'password', 'totp', 'scope']);
  return provider;
};

const bareProvider = (issuer) => new Provider(issuer, {
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
let rootProvider;
let below;
const restart = (kid) => {
  state.keys = newKeys(kid);
  rootProvider = newProvider(issuer);
  root = rootProvider.callback();
  below = newProvider(issuer + realm).callback();
};

const receive = (req, then) => {
  let body = '';
  req.on('data', (chunk) => { body += chunk; });
  req.on('end', () => then(body && JSON.parse(body)));
};

const answer = (res, status, value) => {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify(value));
};

const control = (req, res) => receive(req, (order) => {
  if (order.forge) state.forge = order.forge;
  state.endless = order.endless ?? false;
  if (order.rotate) restart(order.rotate);
  answer(res, 200, req.method === 'GET' ? state.asked.splice(0) : {});
});

// --- Okta ---

const success = (res, name) => {
  const sessionToken = `session-of-${name}`;
  sessions.set(sessionToken, name);
  answer(res, 200, { status: 'SUCCESS', sessionToken });
};

const factor = (id, factorType) => ({ id, factorType, provider: 'OKTA' });

const authn = (req, res) => receive(req, ({ username, password }) => {
  state.asked.push(`authn ${username}`);
  const mfa = (...factors) => answer(res, 200, {
    status: 'MFA_REQUIRED', stateToken: `state-of-${username}`, _embedded: { factors },
  });
  if (password !== 'right' || /^(realm-|nobody)/.test(username)) {
    answer(res, 401, { errorCode: 'E0000004', errorSummary: 'Authentication failed' });
  } else if (username.startsWith('mfa-')) {
    mfa(factor('phone', 'push'), factor('first', 'token:software:totp'), factor('second', 'token:software:totp'));
  } else if (username.startsWith('push-')) {
    mfa(factor('phone', 'push'));
  } else if (username.startsWith('locked-')) {
    answer(res, 200, { status: 'LOCKED_OUT' });
  } else {
    success(res, username);
  }
});

const verify = (req, res, id) => receive(req, ({ stateToken, passCode }) => {
  state.asked.push(`verify ${id} ${passCode}`);
  if (id === 'second' && passCode === '123456') success(res, stateToken.replace('state-of-', ''));
  else answer(res, 403, { errorCode: 'E0000068', errorSummary: 'Invalid Passcode/Answer' });
});

// A code for the session, which the real token endpoint then takes: with its PKCE, nonce and redirect_uri.
const authorize = async (res, query) => {
  const name = sessions.get(query.get('sessionToken'));
  sessions.delete(query.get('sessionToken'));
  state.asked.push(`authorize ${name}`);
  const [clientId, scope] = [query.get('client_id'), query.get('scope')];
  const client_ = await rootProvider.Client.find(clientId);
  const grant = new rootProvider.Grant({ accountId: name, clientId });
  grant.addOIDCScope(scope);
  const code = new rootProvider.AuthorizationCode({
    accountId: name, client: client_, grantId: await grant.save(), scope, claims: {},
    redirectUri: query.get('redirect_uri'), nonce: query.get('nonce'),
    codeChallenge: query.get('code_challenge'), codeChallengeMethod: query.get('code_challenge_method'),
  });
  const back = new URLSearchParams({ code: await code.save(), state: query.get('state') });
  res.writeHead(302, { location: `${query.get('redirect_uri')}?${back}` });
  res.end();
};

const okta = (req, res) => {
  const url = new URL(req.url, issuer);
  const factorId = /^\/api\/v1\/authn\/factors\/(\w+)\/verify$/.exec(url.pathname);
  if (url.pathname === '/api/v1/authn') authn(req, res);
  else if (factorId) verify(req, res, factorId[1]);
  else if (url.pathname === '/auth' && url.searchParams.has('sessionToken')) authorize(res, url.searchParams);
  else return false;
  return true;
};

// Until whoever reads it has had enough.
const endless = (res) => {
  state.endless = false;
  res.writeHead(200, { 'content-type': 'application/json' });
  const more = () => { while (!res.destroyed && res.write(Buffer.alloc(65536, 32))); };
  res.on('drain', more);
  more();
};

const server = http.createServer((req, res) => {
  if (req.url === '/control') return control(req, res);
  if (okta(req, res)) return undefined;
  if (state.endless && req.url.endsWith('/token')) return endless(res);
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
