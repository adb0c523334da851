package attest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// What stands here of Gramine is from tools/sgx/ra-tls of gramineproject/gramine: the certificate as ra_tls_attest.c makes
// it, and the checks of extract_standard_quote_and_verify_claims in ra_tls_verify_common.c.

// Gramine's older extension has a bare quote over the SHA-256 of the public key. Its identifier was meant to be
// 1.2.840.113741.1337.6, but ra_tls_common.h writes tag and length of that into the value, which makes another of it.
var (
	oidGramineMeant   = asn1.ObjectIdentifier{1, 2, 840, 113741, 1337, 6}
	oidGramineWritten = asn1.ObjectIdentifier{0, 6, 9, 42, 840, 113741, 1337, 6}
)

// gramine is one of Gramine's certificates in the making.
type gramine struct {
	key    crypto.Signer
	claims func(spki []byte) []byte // nil: those of Gramine
	legacy asn1.ObjectIdentifier    // the older extension beside; nil: none
	alone  bool                     // the older extension and nothing else
}

func (g gramine) certificate(t testing.TB, q attest.Quoter) *x509.Certificate {
	t.Helper()
	spki := made(x509.MarshalPKIXPublicKey(g.key.Public()))
	id := sha256.Sum256(spki)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "RATLS", Organization: []string{"GramineDevelopers"}, Country: []string{"US"}},
		NotBefore:    time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2030, 12, 31, 23, 59, 59, 0, time.UTC),
		BasicConstraintsValid: true, SubjectKeyId: id[:20], AuthorityKeyId: id[:20], SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	quote := func(over []byte) []byte {
		sum := sha256.Sum256(over)
		return made(q.Quote(t.Context(), [64]byte(append(sum[:], make([]byte, 32)...)))).Quote
	}
	if g.legacy != nil {
		c.ExtraExtensions = append(c.ExtraExtensions, extension{Id: g.legacy, Value: quote(spki)})
	}
	if !g.alone {
		claims := gramineClaims(spki)
		if g.claims != nil {
			claims = g.claims(spki)
		}
		evidence := cbor.Tag{Number: 60000, Content: []any{quote(claims), claims}}
		c.ExtraExtensions = append(c.ExtraExtensions, extension{Id: oidDICE, Value: made(cbor.Marshal(evidence))})
	}
	der := made(x509.CreateCertificate(rand.Reader, c, c, g.key.Public(), g.key))
	return made(x509.ParseCertificate(der))
}

// gramineClaims are those of Gramine: the hash of the key by SHA-256 alone.
func gramineClaims(spki []byte) []byte {
	sum := sha256.Sum256(spki)
	return made(cbor.Marshal(map[string][]byte{"pubkey-hash": made(cbor.Marshal([]any{1, sum[:]}))}))
}

// Gramine's certificates are genuine and bound to their key. They say nothing of a use or an issuer, so they are nobody's keys here.
func TestGramineCertificates(t *testing.T) {
	hardware, verifiers := machine(t, simulated.Config{})
	p384 := made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	for name, g := range map[string]gramine{
		"P-384, as by default":           {key: p384},
		"P-256":                          {key: newP256(t)},
		"with the older extension":       {key: p384, legacy: oidGramineWritten},
		"with what that was meant to be": {key: p384, legacy: oidGramineMeant},
		"with a nonce behind the hash": {key: p384, claims: func(spki []byte) []byte { // libcbor keeps the order of who writes
			claims := slices.Concat([]byte{0xa2}, gramineClaims(spki)[1:], encode("nonce"), encode(make([]byte, 32)))
			return claims
		}},
		"with a hash by SHA-384": {key: p384, claims: func(spki []byte) []byte {
			sum := sha512.Sum384(spki)
			return made(cbor.Marshal(map[string][]byte{"pubkey-hash": made(cbor.Marshal([]any{7, sum[:]}))}))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cert := g.certificate(t, hardware)
			if err := gramineVerify(cert); err != nil {
				t.Errorf("the certificate is not as Gramine makes them: %v", err)
			}
			if got := attest.Schemes(cert); !slices.Equal(got, []string{attest.DICE}) {
				t.Errorf("got schemes %v", got)
			}
			a, err := attest.Appraise(t.Context(), cert, attest.DICE, verifiers, day(1), day(1))
			if err != nil {
				t.Fatal(err)
			}
			if b := a.Binding; b.Use != "" || b.Issuer != "" || !b.Expires.Equal(cert.NotAfter) {
				t.Errorf("got %+v from claims that say nothing of it", b)
			}
			p := &attest.Policy{Builds: []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": a.Report.Measurements["mrenclave"]}}}, SimulatedRoot: "root.pem"}
			if err := p.Check(a.Report, a.Binding); err != nil {
				t.Errorf("a policy without an issuer: %v", err)
			}
			p.Issuer = issuer
			wantError(t, p.Check(a.Report, a.Binding), "issuer: got none")
		})
	}
	_, err := attest.Appraise(t.Context(), gramine{key: p384, legacy: oidGramineWritten, alone: true}.certificate(t, hardware), attest.DICE, verifiers, day(1), day(1))
	wantError(t, err, "no evidence by the scheme dice")
}

// Our certificates pass Gramine's checks, for the keys that it knows.
func TestGramineVerifiesOurs(t *testing.T) {
	hardware, _ := machine(t, simulated.Config{})
	full := binding()
	full.Use, full.Nonce, full.Names = attest.UseTLS, make([]byte, 64), []string{"broker.example.com", "127.0.0.1"}
	for name, test := range map[string]struct {
		key     crypto.Signer
		binding attest.Binding
		schemes []string
		want    string
	}{
		"a TLS key":      {key: newP256(t), binding: full},
		"a P-384 key":    {key: keys.p384(), binding: full},
		"a signing key":  {key: newP256(t), binding: binding()},
		"an RSA key":     {key: keys.rsa(), binding: binding(), schemes: []string{attest.DICE, attest.Original}, want: "the key is no ECDSA key"},
		"an Ed25519 key": {key: keys.ed25519(), binding: binding(), want: "the key is no ECDSA key"},
	} {
		t.Run(name, func(t *testing.T) {
			err := gramineVerify(made(attest.Certify(t.Context(), hardware, test.key, test.binding, test.schemes...)))
			if test.want != "" {
				wantError(t, err, test.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	// The checks are checks.
	ours := made(attest.Certify(t.Context(), hardware, newP256(t), full))
	another := *ours
	another.PublicKey, another.RawSubjectPublicKeyInfo = newP256(t).Public(), []byte("another key")
	wantError(t, gramineVerify(&another), "the claims are of another key")
}

// gramineVerify makes the checks of Gramine, but for that of the quote by Intel's library.
func gramineVerify(cert *x509.Certificate) error {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() && key.Curve != elliptic.P256() { // versions before knew P-384 alone
		return errors.New("the key is no ECDSA key on P-384 or P-256")
	}
	if len(cert.UnhandledCriticalExtensions) > 0 {
		return errors.New("mbedtls refuses critical extensions that it does not know")
	}
	value, err := gramineFind(cert.RawTBSCertificate, []byte{0x06, 0x06, 0x67, 0x81, 0x05, 0x05, 0x04, 0x09})
	if err != nil {
		return err
	}
	var evidence cbor.RawTag
	var items [][]byte
	if err := cbor.Unmarshal(value, &evidence); err != nil || evidence.Number != 60000 {
		return fmt.Errorf("no evidence with the tag 60000: %v", err)
	}
	if err := cbor.Unmarshal(evidence.Content, &items); err != nil || len(items) != 2 || evidence.Content[0] != 0x82 {
		return fmt.Errorf("no array of definite length of quote and claims: %v", err)
	}
	const quoteHeader, reportBody, reportData = 48, 384, 368
	quote, claims := items[0], items[1]
	if len(quote) < quoteHeader+reportBody+4 || len(claims) == 0 {
		return errors.New("the quote is short, or there are no claims")
	}
	if sum := sha256.Sum256(claims); !bytes.Equal(quote[reportData:reportData+32], sum[:]) {
		return errors.New("the quote is not over the claims")
	}
	var m map[string]cbor.RawMessage // every name is a text string
	if err := cbor.Unmarshal(claims, &m); err != nil || claims[0]>>5 != 5 || claims[0] == 0xbf {
		return fmt.Errorf("the claims are no map of definite length: %v", err)
	}
	var entry []byte
	if err := cbor.Unmarshal(m["pubkey-hash"], &entry); err != nil {
		return fmt.Errorf("pubkey-hash is no byte string: %v", err)
	}
	var hash struct {
		_         struct{} `cbor:",toarray"`
		Algorithm uint64
		Digest    []byte
	}
	if err := cbor.Unmarshal(entry, &hash); err != nil {
		return fmt.Errorf("pubkey-hash is no hash-entry: %v", err)
	}
	sum256, sum384, sum512 := sha256.Sum256(cert.RawSubjectPublicKeyInfo), sha512.Sum384(cert.RawSubjectPublicKeyInfo), sha512.Sum512(cert.RawSubjectPublicKeyInfo)
	want := map[uint64][]byte{1: sum256[:], 7: sum384[:], 8: sum512[:]}[hash.Algorithm]
	if want == nil || !bytes.Equal(hash.Digest, want) {
		return errors.New("the claims are of another key")
	}
	return nil
}

// gramineFind finds the value of an extension by the bytes of its identifier: not critical, and of 128 to 8192 bytes, whose
// length has two bytes.
func gramineFind(der, id []byte) ([]byte, error) {
	_, behind, found := bytes.Cut(der, id)
	if !found {
		return nil, errors.New("no such extension")
	}
	behind = bytes.TrimPrefix(behind, []byte{0x01, 0x01, 0x00})
	if len(behind) < 4 || behind[0] != 0x04 || behind[1] != 0x82 {
		return nil, errors.New("the extension is critical, or short")
	}
	n := int(behind[2])<<8 | int(behind[3])
	if n < 128 || n > 8192 || n > len(behind)-4 {
		return nil, fmt.Errorf("got an extension of %d bytes, want 128 to 8192", n)
	}
	return behind[4 : 4+n], nil
}
