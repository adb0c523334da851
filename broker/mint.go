package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/rules"
)

// originalIssuer is the constant "iss" of the original broker's tokens.
const originalIssuer = "enclave authorization"

// minted is a signed token, not yet recorded.
type minted struct {
	token     string
	id        string // jti, empty in the original's profile
	sha256    string // of the token, hex
	expiresIn int64  // seconds
}

var errToken = errors.New("the token can't be made")

// mint makes and signs a token.
func (b *Broker) mint(key *signer, p profile, subject *ctb.Token, d *rules.Decision) (*minted, error) {
	now := b.config.wall()
	if !key.maySign(now) {
		return nil, errNoKey
	}
	m := &minted{expiresIn: int64(d.Lifetime / time.Second)}
	issued := now.Unix()
	c := claims{json: make([]byte, 0, 1024)}
	typ := ctb.AccessToken
	if p == original {
		typ = ctb.IDToken
		c.original(subject, d, issued, issued+m.expiresIn)
	} else {
		m.id = newID()
		c.strict(b.config.Issuer, m.id, subject, d, issued, issued+m.expiresIn)
	}
	c.extra(d.Claims, b.config.Simulated)
	if c.err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, c.err)
	}
	if err := key.reserve(time.Unix(issued+m.expiresIn, 0)); err != nil {
		return nil, err
	}
	var err error
	m.token, err = jose.Sign(jose.Header{Algorithm: key.algorithm, KeyID: key.id, Type: typ}, c.json, key.private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	if len(m.token) > jose.MaxSize {
		return nil, fmt.Errorf("%w: it has %d bytes, and checkers read %d", errToken, len(m.token), jose.MaxSize)
	}
	var buf [2048]byte // on the stack: most tokens fit
	sum := sha256.Sum256(append(buf[:0], m.token...))
	m.sha256 = hex.EncodeToString(sum[:])
	return m, nil
}

// claims writes a claims set in a stable order. The first error stays.
type claims struct {
	json []byte
	err  error
}

// strict writes the claims of RFC 9068 section 2.2, and "idp": whose "sub" it is.
func (c *claims) strict(issuer, id string, subject *ctb.Token, d *rules.Decision, issued, expires int64) {
	c.json = append(c.json, '{')
	c.text("iss", issuer)
	c.texts("aud", d.Audience)
	c.text("sub", subject.Subject)
	c.text("client_id", d.ClientID)
	c.number("iat", issued)
	c.number("exp", expires)
	c.text("jti", id)
	if len(d.Scope) > 0 {
		c.text("scope", strings.Join(d.Scope, " "))
	}
	c.text("idp", subject.Issuer)
}

// original writes the claims of the original broker, in its order.
func (c *claims) original(subject *ctb.Token, d *rules.Decision, issued, expires int64) {
	c.json = append(c.json, '{')
	c.text("iss", originalIssuer)
	c.texts("aud", d.Audience)
	c.text("sub", subject.Subject)
	c.number("iat", issued)
	c.number("exp", expires)
	c.text("scope", strings.Join(d.Scope, " "))
	c.text("client_id", d.ClientID)
}

// extra writes the claims that the rule copies, by name, and ends the set.
func (c *claims) extra(more map[string][]byte, simulated bool) {
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if rules.Reserved(name) {
			c.fail(fmt.Errorf("token claim %q is reserved", name))
			return
		}
		if !jsontext.Value(more[name]).IsValid() {
			c.fail(fmt.Errorf("token claim %q is not JSON", name))
			return
		}
		c.name(name)
		c.json = append(c.json, more[name]...)
	}
	if simulated {
		c.name("simulated")
		c.json = append(c.json, "true"...)
	}
	c.json = append(c.json, '}')
}

func (c *claims) name(name string) {
	if c.json[len(c.json)-1] != '{' {
		c.json = append(c.json, ',')
	}
	c.quote(name)
	c.json = append(c.json, ':')
}

func (c *claims) text(name, value string) {
	c.name(name)
	c.quote(value)
}

func (c *claims) texts(name string, values []string) {
	c.name(name)
	c.json = append(c.json, '[')
	for i, v := range values {
		if i > 0 {
			c.json = append(c.json, ',')
		}
		c.quote(v)
	}
	c.json = append(c.json, ']')
}

func (c *claims) number(name string, value int64) {
	c.name(name)
	c.json = strconv.AppendInt(c.json, value, 10)
}

// quote writes a JSON string. It refuses what is not UTF-8, which would change on its way.
func (c *claims) quote(s string) {
	var err error
	if c.json, err = jsontext.AppendQuote(c.json, s); err != nil {
		c.fail(err)
	}
}

func (c *claims) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}
