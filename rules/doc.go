// Package rules decides who gets which token: data in, decision out. It does
// no I/O, keeps no state and knows no keys.
//
// A rule file is the original broker's, extended by name, claims and
// token_claims, and with jwk_endpoint optional. [Parse] reads it strictly. What
// a rule means:
//
//  1. A rule fits a subject token when idp is its issuer, client_id is among its
//     audience, and all of the rule's claims are satisfied.
//  2. Where a subject token names its authorized party (azp; OpenID Connect Core 1.0,
//     section 3.1.3.7), that must be client_id, and one with several audiences must
//     name it. A rule whose claims judge azp decides by them for one audience.
//  3. If the request names audiences, a rule fits only when all of them are in its
//     server_api. One rule gives the whole token: rules are never added up.
//  4. The first rule that fits, in the order of the file, decides. The rules
//     after it are not looked at.
//  5. The scope takes no part in the fit: it is narrowed within the rule that
//     decides, and a scope that this rule does not give is refused, even if a
//     later rule gives it.
//  6. What the request leaves open, the rule gives whole: all of server_api, all of scope.
//  7. A claim of token_claims is copied as it stands in the subject token, and is
//     absent where it is absent there.
//  8. All strings are compared byte by byte: there are no wildcards, no prefixes, no
//     case folding, and no normalization of URLs.
//
// The rules digest, [Set.Digest], is the SHA-256 of the file's bytes as they stand: one
// more space makes another digest, because the bytes are what an administrator signs
// and the hardware vouches for.
package rules
