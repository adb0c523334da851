package broker

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/rules"
)

const recordVersion = 1

// record is what is kept of a signing key. It is public, whole, and nobody's word: the
// certificate carries the evidence that vouches for the key.
type record struct {
	Version     int    `json:"version"` // recordVersion
	Issuer      string `json:"issuer"`
	KeyID       string `json:"kid"`
	Algorithm   string `json:"alg"`
	Lifetime    int64  `json:"token_lifetime"`        // the longest that its tokens live, in seconds
	Retired     int64  `json:"retired,omitzero"`      // it signs no more from then on, Unix seconds; absent: it may have signed until the end of the process
	Certificate []byte `json:"certificate"`           // DER, base64
	EvidenceEnd int64  `json:"evidence_end,omitzero"` // when the quote can be verified no more, Unix seconds; absent: with the certificate

	cert *x509.Certificate
}

// marshal returns the record as parseRecord reads it.
func (r *record) marshal() ([]byte, error) {
	text, err := json.Marshal(r, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if len(text) > MaxRecord {
		return nil, fmt.Errorf("record: got %d bytes, want at most %d", len(text), MaxRecord)
	}
	return append(text, '\n'), nil
}

// parseRecord reads the record of this name. Whatever it accepts can be published without harm: it is a certificate that
// its own key has signed, under that key's name. Whether its evidence is genuine, and ours, is for checkers to find.
func parseRecord(name string, text []byte) (*record, error) {
	if len(text) > MaxRecord+1 {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(text), MaxRecord+1)
	}
	r := new(record)
	if err := json.Unmarshal(text, r, json.RejectUnknownMembers(true)); err != nil {
		return nil, jose.JSONError(err)
	}
	longest := int64(rules.MaxExpiration / time.Second)
	switch {
	case r.Version != recordVersion:
		return nil, fmt.Errorf(`got version %d, want %d`, r.Version, recordVersion)
	case r.KeyID != name:
		return nil, fmt.Errorf(`got kid %.64q under the name %.64q, want the same`, r.KeyID, name)
	case !slices.Contains(algorithms, r.Algorithm):
		return nil, fmt.Errorf(`got alg %.64q, want one of %v`, r.Algorithm, algorithms)
	case r.Lifetime < 1 || r.Lifetime > longest:
		return nil, fmt.Errorf(`got token_lifetime %d, want 1 to %d seconds`, r.Lifetime, longest)
	case r.Retired < 0 || r.Retired > maxInstant || r.EvidenceEnd < 0 || r.EvidenceEnd > maxInstant:
		return nil, errors.New(`retired or evidence_end is no instant of this age`)
	}
	cert, err := parseKept(r.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if id, err := jose.Thumbprint(cert.PublicKey); err != nil || id != r.KeyID {
		return nil, fmt.Errorf("certificate: it is of another key than kid names (%v)", err)
	}
	// The key set must be able to show it: the key has to fit the algorithm.
	shown, err := jose.MarshalJWK(jose.JWK{KeyID: r.KeyID, Algorithm: r.Algorithm, Key: cert.PublicKey, Certificate: [][]byte{cert.Raw}})
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if set, err := jose.ParseSet(slices.Concat([]byte(`{"keys":[`), shown, []byte(`]}`))); err != nil || set[0].Err != nil {
		return nil, errors.New("certificate: its key does not fit alg, or is too weak")
	}
	r.cert = cert
	return r, nil
}

const maxInstant = 253402300799 // the end of the year 9999

// parseKept reads a certificate that carries evidence and is signed by its own key.
func parseKept(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		return nil, errors.New("it is not self-signed")
	}
	if k, ok := cert.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > jose.MaxRSABits {
		return nil, fmt.Errorf("it has an RSA key of %d bits, want at most %d", k.N.BitLen(), jose.MaxRSABits)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return nil, fmt.Errorf("it is not signed by its own key: %w", err)
	}
	if len(attest.Schemes(cert)) == 0 {
		return nil, errors.New("it carries no evidence")
	}
	return cert, nil
}

// record is what is kept of the key.
func (k *signingKey) record(issuer string) *record {
	r := &record{
		Version: recordVersion, Issuer: issuer, KeyID: k.id, Algorithm: k.algorithm,
		Lifetime: int64(k.lifetime / time.Second), Certificate: k.evidence.cert.Raw,
	}
	if !k.retiredAt.IsZero() {
		r.Retired = k.retiredAt.Unix()
		if k.held() { // exchanges that hold it may still sign
			r.Retired = k.retiredAt.Add(inFlight).Unix()
		}
	}
	if k.evidence.ends.Before(k.evidence.cert.NotAfter) {
		r.EvidenceEnd = k.evidence.ends.Unix()
	}
	return r
}

// restored is the key of a record, without its private half. Unless the record says when it was
// retired, the process ended with the key in use, at the latest at crashed. now has the clock's monotonic reading.
func restored(r *record, crashed, now time.Time) (*signingKey, error) {
	k := &signingKey{id: r.KeyID, algorithm: r.Algorithm, lifetime: time.Duration(r.Lifetime) * time.Second, retiredAt: crashed, restored: now}
	if r.Retired != 0 {
		k.retiredAt = time.Unix(r.Retired, 0)
	}
	ends := r.cert.NotAfter
	if r.EvidenceEnd != 0 {
		ends = earlier(ends, time.Unix(r.EvidenceEnd, 0))
	}
	// No key signs what its certificate does not outlive, whatever the record says.
	last := earlier(k.retiredAt.Add(k.lifetime), r.cert.NotAfter)
	k.lastExpiry.Store(last.Unix())
	k.retiredAt = earlier(k.retiredAt, r.cert.NotAfter)
	// Nor did it sign after this start.
	k.left = min(time.Unix(last.Unix(), 0).Sub(now), k.lifetime) + ctb.Leeway
	return k, k.show(&certified{id: r.KeyID, cert: r.cert, issued: r.cert.NotBefore, planned: r.cert.NotAfter, useUntil: ends, ends: ends})
}
