package devidp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"
)

// codeLifetime is short, as RFC 6749 section 4.1.2 asks.
const codeLifetime = time.Minute

// maxCodes bounds the codes that nobody has redeemed yet.
const maxCodes = 1000

// grant is what an authorization code stands for.
type grant struct {
	client      string
	redirectURI string
	challenge   string // PKCE, S256
	nonce       string
	user        *User
	login       time.Time
	expires     time.Time
}

// codes holds the codes that may still be redeemed. Its user locks it.
type codes struct{ byCode map[string]grant }

// issue returns a new code for g, or false if too many are waiting.
func (c *codes) issue(g grant) (string, bool) {
	if c.byCode == nil {
		c.byCode = make(map[string]grant)
	}
	if len(c.byCode) >= maxCodes {
		for code, old := range c.byCode {
			if !g.login.Before(old.expires) {
				delete(c.byCode, code)
			}
		}
	}
	if len(c.byCode) >= maxCodes {
		return "", false
	}
	code := rand.Text()
	c.byCode[code] = g
	return code, true
}

// redeem burns the code, whatever becomes of the request that brought it (RFC 6749 section 4.1.2).
func (c *codes) redeem(code string, now time.Time) (grant, bool) {
	g, ok := c.byCode[code]
	delete(c.byCode, code)
	return g, ok && now.Before(g.expires)
}

// proves tells whether the verifier is the one behind the grant's challenge (RFC 7636 section 4.6).
func (g grant) proves(verifier string) bool {
	if len(verifier) < 43 || len(verifier) > 128 { // RFC 7636 section 4.1
		return false
	}
	return subtle.ConstantTimeCompare([]byte(Challenge(verifier)), []byte(g.challenge)) == 1
}

// Challenge returns the S256 code challenge of a PKCE code verifier (RFC 7636 section 4.2).
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
