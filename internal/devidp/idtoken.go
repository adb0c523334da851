package devidp

import (
	"encoding/json"
	"maps"
	"time"
)

// IDToken returns an id token (OpenID Connect Core 1.0 section 2) for the named
// user and the client: iss, sub, aud, iat, exp, auth_time, email,
// email_verified and the user's own claims, with the changes of extra. The
// user must be one of the provider's; the client need not.
func (p *Provider) IDToken(user, client string, extra Claims) (string, error) {
	u, err := p.user(user)
	if err != nil {
		return "", err
	}
	return p.SignClaims(p.claims(u, client, p.now(), extra))
}

// claims returns the claims set of an id token. What changes names wins.
func (p *Provider) claims(u *User, client string, login time.Time, changes Claims) Claims {
	now := p.now()
	set := Claims{
		"iss":       p.issuer,
		"sub":       u.Subject,
		"aud":       client,
		"iat":       now.Unix(),
		"exp":       now.Add(p.lifetime).Unix(),
		"auth_time": login.Unix(),
	}
	if u.Email != "" {
		set["email"] = u.Email
		set["email_verified"] = u.EmailVerified
	}
	return With(With(set, u.Claims), changes)
}

// With returns the claims with changes: a nil value takes a claim away.
func With(claims, changes Claims) Claims {
	set := make(Claims, len(claims)+len(changes))
	maps.Copy(set, claims)
	for name, value := range changes {
		if value == nil {
			delete(set, name)
			continue
		}
		set[name] = value
	}
	return set
}

// SignClaims signs the claims as they are, with the present key and the header
// of an id token.
func (p *Provider) SignClaims(c Claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	k := p.Key()
	return k.Sign(k.Header("JWT"), payload)
}

// Sign signs any header and payload with the present key: see [Key.Sign].
func (p *Provider) Sign(header, payload []byte) (string, error) {
	return p.Key().Sign(header, payload)
}

// Header returns the JOSE header of the key's tokens.
func (k *Key) Header(typ string) []byte {
	header, err := json.Marshal(struct {
		Type      string `json:"typ,omitempty"`
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid,omitempty"`
	}{typ, k.Algorithm, k.ID})
	if err != nil {
		panic("three strings are always JSON: " + err.Error())
	}
	return header
}
