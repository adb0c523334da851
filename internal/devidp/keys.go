package devidp

import (
	"bytes"
	"net/http"
	"slices"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// ring is the provider's keys.
type ring struct {
	signing   *Key
	published []*Key // what the JWKS holds
	raw       []byte // not nil: the JWKS is this instead
}

// Key returns the key that signs now. Treat it as read-only.
func (p *Provider) Key() *Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ring.signing
}

// AddKey publishes a further key. It signs nothing yet: see SignWith.
func (p *Provider) AddKey(k *Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ring.published = append(p.ring.published, k)
}

// SignWith makes k sign from now on, whether or not it is published.
func (p *Provider) SignWith(k *Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ring.signing = k
}

// RemoveKey takes the keys with this ID out of the JWKS.
func (p *Provider) RemoveKey(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ring.published = slices.DeleteFunc(p.ring.published, func(k *Key) bool { return k.ID == id })
}

// RotateKey publishes a fresh key of the present algorithm and signs with it
// from now on. The old one stays published.
func (p *Provider) RotateKey() (*Key, error) {
	k, err := NewKey(p.Key().Algorithm)
	if err != nil {
		return nil, err
	}
	p.AddKey(k)
	p.SignWith(k)
	return k, nil
}

// SetJWKS publishes these bytes in place of the keys, whatever they are; nil
// publishes the keys again.
func (p *Provider) SetJWKS(raw []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ring.raw = bytes.Clone(raw)
}

// JWKS returns what the JWKS endpoint serves.
func (p *Provider) JWKS() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ring.raw != nil {
		return bytes.Clone(p.ring.raw), nil
	}
	keys := make([][]byte, 0, len(p.ring.published))
	for _, k := range p.ring.published {
		jwk, err := jose.MarshalJWK(jose.JWK{KeyID: k.ID, Algorithm: k.Algorithm, Key: k.Private.Public()})
		if err != nil {
			return nil, err
		}
		keys = append(keys, jwk)
	}
	return append(append([]byte(`{"keys":[`), bytes.Join(keys, []byte(","))...), "]}"...), nil
}

func (p *Provider) serveJWKS(w http.ResponseWriter, r *http.Request) {
	set, err := p.JWKS()
	if err != nil {
		http.Error(w, "the keys cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	w.Write(set)
}
