package credential

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/confidential-token-broker/ctb"
)

// holderOf is the same for all tokens of one holder: of one "sub" of one issuer, or, for tokens that
// name no user, of one client ("client_id", RFC 9068 section 2.2, or "azp", OpenID Connect
// Core 1.0 section 2). A token that names neither is its own holder, by its claims
// and not its text: whoever has an ECDSA signature can make another one of it.
//
// It is a hash, so that it is short, and can stand where nobody should read who it is.
func holderOf(t *ctb.Token) string {
	kind, who := "sub", t.Subject
	if who == "" {
		kind, who = "client", t.ClientID
	}
	if who == "" {
		var client struct {
			Name string `json:"azp"`
		}
		if t.Claims(&client) == nil { // an azp that is no string names nobody
			who = client.Name
		}
	}
	if who == "" {
		claims, _ := t.Claim()
		kind, who = "token", string(claims)
	}
	// The lengths keep apart what the texts might not.
	var buf [512]byte
	text := append(buf[:0], kind...)
	text = binary.BigEndian.AppendUint32(append(text, 0), uint32(len(t.Issuer)))
	text = append(append(text, t.Issuer...), who...)
	sum := sha256.Sum256(text)
	var id [4 + 32]byte
	hex.Encode(id[copy(id[:], "jwt:"):], sum[:16])
	return string(id[:])
}
