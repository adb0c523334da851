package nitro_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/hf/nitrite"

	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
)

// refusals are what errors say of each fault; those of single certificates, by what follows the rank.
var refusals = map[nitrotest.Fault]string{
	"cose-truncated":       "not COSE_Sign1: unexpected EOF",
	"cose-trailing":        "not COSE_Sign1: cbor: 1 bytes of extraneous data",
	"cose-indefinite":      "not COSE_Sign1: cbor: indefinite-length array",
	"cose-long-form":       "not COSE_Sign1 in its shortest form",
	"cose-five-parts":      "different number of elements",
	"cose-three-parts":     "different number of elements",
	"cose-other-tag":       "CBOR tag isn't allowed",
	"cose-two-tags":        "CBOR tag isn't allowed",
	"cose-long-tag":        "CBOR tag isn't allowed",
	"payload-text":         "payload: got a text, want a byte string",
	"payload-null":         "payload: missing",
	"payload-empty":        "payload: got 0 bytes, want 1 to 16384",
	"payload-large":        "payload: got 16385 bytes, want 1 to 16384",
	"payload-altered":      "not signed by the key of its certificate",
	"signature-null":       "signature: missing",
	"signature-empty":      "signature: got 0 bytes, want 96",
	"signature-short":      "signature: got 95 bytes, want 96",
	"signature-long":       "signature: got 97 bytes, want 96",
	"signature-zero":       "not signed by the key of its certificate",
	"signature-der":        "signature: got 10",
	"signature-forged":     "not signed by the key of its certificate",
	"signature-of-ca":      "not signed by the key of its certificate",
	"signature-of-root":    "not signed by the key of its certificate",
	"signature-of-context": "not signed by the key of its certificate",
	"signature-of-payload": "not signed by the key of its certificate",

	"header-es256":          "protected header: got 43a10126, want 44a1013822",
	"header-es512":          "protected header: got 44a1013823, want",
	"header-text":           "protected header: got 48a101654553333834, want",
	"header-without":        "protected header: got 41a0, want",
	"header-more":           "protected header: got 47a2013822044131, want",
	"header-long-form":      "protected header: got 45a101390022, want",
	"header-empty":          "protected header: got 40, want",
	"header-null":           "protected header: got f6, want",
	"header-unprotected":    "unprotected header: got a1013822, want a0",
	"header-moved-out":      "protected header: got 40, want",
	"header-critical":       "unprotected header: got a1028104, want a0",
	"unprotected-bytes":     "unprotected header: got 40, want a0",
	"unprotected-null":      "unprotected header: got f6, want a0",
	"unprotected-long-form": "unprotected header: got b800, want a0",

	"document-list":       "cannot unmarshal array",
	"document-trailing":   "1 bytes of extraneous data",
	"document-indefinite": "indefinite-length map",
	"document-tagged":     "CBOR tag isn't allowed",
	"member-unknown":      "unknown field at map element index 9",
	"member-other-case":   "unknown field at map element index 9",
	"member-numbered":     "unknown field at map element index 9",
	"member-twice":        `duplicate map key "pcrs"`,

	"module-id-absent":   "module_id: got 0 bytes, want 1 to 256",
	"module-id-empty":    "module_id: got 0 bytes, want 1 to 256",
	"module-id-bytes":    "cannot unmarshal byte string",
	"module-id-not-utf8": "invalid UTF-8",
	"digest-absent":      `digest: got "", want "SHA384"`,
	"digest-sha256":      `digest: got "SHA256", want "SHA384"`,
	"digest-sha512":      `digest: got "SHA512", want "SHA384"`,
	"digest-lower-case":  `digest: got "sha384", want "SHA384"`,
	"timestamp-absent":   "timestamp: got 0, want milliseconds since 1970",
	"timestamp-null":     "timestamp: got 0, want milliseconds since 1970",
	"timestamp-zero":     "timestamp: got 0, want milliseconds since 1970",
	"timestamp-negative": "cannot unmarshal negative integer",
	"timestamp-float":    "cannot unmarshal primitives",
	"timestamp-tagged":   "CBOR tag isn't allowed",
	"timestamp-seconds":  "timestamp: 1970-01-21T12:19:27.63Z: its certificate is not valid before 2026-03-01T12:00:00Z",
	"timestamp-huge":     "timestamp: got 18446744073709551615, want milliseconds since 1970",
	"timestamp-early":    "timestamp: 2026-03-01T11:59:59.999Z: its certificate is not valid before 2026-03-01T12:00:00Z",
	"timestamp-late":     "timestamp: 2026-03-01T15:00:01Z: its certificate is not valid after 2026-03-01T15:00:00Z",

	"pcrs-absent":     "pcrs: got 0, want 1 to 32",
	"pcrs-null":       "pcrs: got 0, want 1 to 32",
	"pcrs-empty":      "pcrs: got 0, want 1 to 32",
	"pcrs-list":       "cannot unmarshal array",
	"pcrs-33":         "max number of key-value pairs 32",
	"pcr-index-32":    "pcrs: got a register 32, want 0 to 31",
	"pcr-index-below": "cannot unmarshal negative integer",
	"pcr-index-text":  "cannot unmarshal UTF-8 text string",
	"pcr-twice":       "duplicate map key 0x0",
	"pcr-short":       "pcrs[0]: got 32 bytes, want 48",
	"pcr-long":        "pcrs[0]: got 64 bytes, want 48",
	"pcr-empty":       "pcrs[0]: got 0 bytes, want 48",
	"pcr-null":        "pcrs[0]: missing",
	"pcr-text":        "pcrs[0]: got a text, want a byte string",
	"pcr-list":        "max number of elements 16",

	"public-key-empty": "public_key: got 0 bytes, want 1 to 1024",
	"public-key-large": "public_key: got 1025 bytes, want 1 to 1024",
	"user-data-large":  "user_data: got 513 bytes, want 0 to 512",
	"user-data-text":   "user_data: got a text, want a byte string",
	"nonce-large":      "nonce: got 513 bytes, want 0 to 512",

	"certificate-absent":     "certificate: missing",
	"certificate-null":       "certificate: missing",
	"certificate-empty":      "certificate: got 0 bytes, want 1 to 1024",
	"certificate-garbage":    "certificate: x509: malformed certificate",
	"certificate-trails":     "certificate: x509: trailing data",
	"certificate-large":      "certificate: got 1213 bytes, want 1 to 1024",
	"certificate-of-ca":      "certificate: basic constraints: it is a CA's certificate",
	"cabundle-absent":        "cabundle: got 0 certificates, want 1 to 8",
	"cabundle-null":          "cabundle: got 0 certificates, want 1 to 8",
	"cabundle-empty":         "cabundle: got 0 certificates, want 1 to 8",
	"cabundle-rootless":      "cabundle[0]: untrusted root",
	"cabundle-reversed":      "cabundle[0]: untrusted root",
	"cabundle-swapped":       "cabundle[1]: its issuer is",
	"cabundle-gap":           "cabundle[2]: its issuer is",
	"cabundle-twice":         "cabundle[3]: its issuer is",
	"cabundle-with-leaf":     "certificate: its issuer is",
	"cabundle-stranger":      "cabundle[4]: its issuer is",
	"cabundle-item-empty":    "cabundle[4]: got 0 bytes, want 1 to 1024",
	"cabundle-item-null":     "cabundle[4]: missing",
	"cabundle-item-large":    "cabundle[2]: got 1245 bytes, want 1 to 1024",
	"cabundle-long":          "cabundle: got 12 certificates, want 1 to 8",
	"other-root":             "cabundle[0]: untrusted root",
	"other-root-behind-ours": `cabundle[1]: its subject "CN=simulated.nitro-enclaves`,

	"-expired":       ": not valid after 2026-03-01T12:20:28Z, judged at 2026-03-01T12:20:30Z",
	"-not-yet-valid": ": not valid before 2026-03-01T12:20:32Z, judged at 2026-03-01T12:20:30Z",
	"-forged":        "certificate chain: x509: certificate signed by unknown authority",
	"-misnamed":      `: its issuer is "CN=somebody else`,
	"-p256":          ": key: got one on the curve P-256, want P-384",
	"-p521":          ": key: got one on the curve P-521, want P-384",
	"-sha256":        ": signature: got ECDSA-SHA256, want ECDSA-SHA384",
	"-sha512":        ": signature: got ECDSA-SHA512, want ECDSA-SHA384",
	"-critical":      "certificate chain: x509: unhandled critical extension",
	"-no-usage":      ": key usage: it may sign no ",
	"-other-usage":   ": key usage: it may sign no ",
	"-short-path":    ": path length: it allows 0 CAs below it, and there are ",
	"-not-ca":        ": basic constraints: it is no CA's certificate",
	"-bare":          ": basic constraints: it is no CA's certificate",
	"leaf-ca":        "certificate: basic constraints: it is a CA's certificate",
	"-signs-certs":   "certificate: key usage: it may sign certificates",
	"-rsa":           "certificate: key: got one of RSA, want one of ECDSA",
	"-ed25519":       "certificate: key: got one of Ed25519, want one of ECDSA",
}

// TestFaults: each thing that can be wrong is refused, and the error says what it is. (Under the race detector, which has
// nothing to find here: every seventh.)
func TestFaults(t *testing.T) {
	for i, f := range nitrotest.Faults() {
		if raceEnabled && i%7 != 0 {
			continue
		}
		t.Run(string(f), func(t *testing.T) {
			want, ok := refusals[f]
			if !ok {
				_, kind, _ := strings.Cut(string(f), "-")
				want, ok = refusals[nitrotest.Fault("-"+kind)]
			}
			if !ok {
				t.Fatal("nothing is known of this fault")
			}
			m := newModule(t, nitrotest.Config{Fault: f})
			r, err := verify(t, m, m.Document(make([]byte, 64), nil, nil, at), at)
			if err == nil || r != nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v and %v, want %q", r, err, want)
			}
		})
	}
}

// TestWhatNitriteTakes holds the reasons for what this package does beside nitrite: with the root at hand, nitrite alone
// takes such documents for genuine, or panics.
func TestWhatNitriteTakes(t *testing.T) {
	for fault, panics := range map[nitrotest.Fault]bool{
		nitrotest.CoseOtherTag: false, nitrotest.HeaderText: false, nitrotest.HeaderUnprotected: false,
		nitrotest.MemberTwice: false, nitrotest.MemberOtherCase: false, nitrotest.PCRTwice: false, nitrotest.PCRShort: false,
		nitrotest.BundleReversed: false, nitrotest.BundleStranger: false, nitrotest.CertificateOfCA: false,
		"region-p256": false, "leaf-ca": false, "leaf-p521": true,
	} {
		m := newModule(t, nitrotest.Config{Fault: fault})
		roots := x509.NewCertPool()
		roots.AddCert(m.Root())
		func() {
			defer func() {
				if r := recover(); (r != nil) != panics {
					t.Errorf("%s: got the panic %v, want one: %v", fault, r, panics)
				}
			}()
			_, err := nitrite.Verify(m.Document(nil, nil, nil, at), nitrite.VerifyOptions{Roots: roots, CurrentTime: at})
			if err != nil {
				t.Errorf("%s: nitrite refuses it: %v", fault, err)
			}
		}()
	}
}
