package simulated_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// The tests here compare the shape of what is simulated with that of Intel's
// evidence: everything but the values.

// genuine reads a file of the shared vectors, which are not part of the project; without them the test is skipped.
func genuine(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "vectors", "dcap", name)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("needs the shared vectors: %s is absent", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var pairs = []struct {
	tee, ca, quote, collateral string
	padding                    int // NULs after the quote
}{
	{"sgx", "platform", "sgx_v3_platform_ca.quote", "fmspc_00606a000000.2025-08.collateral.json", 0},
	{"sgx", "processor", "sgx_v3_processor_ca.quote", "sgx_v3_processor_ca.collateral.json", 0},
	{"tdx", "platform", "tdx_v4.quote", "tdx_v4.collateral.json", 70},
}

func TestCertificatesHaveGenuineShape(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.tee+" "+pair.ca, func(t *testing.T) {
			want := chainShape(t, genuine(t, pair.quote))
			got := chainShape(t, quote(t, platform(t, simulated.Config{TEE: pair.tee, CA: pair.ca, Padding: pair.padding}), [64]byte{}).Quote)
			if got != want {
				t.Errorf("PCK chain: got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// chainShape describes the certificates within a quote.
func chainShape(t *testing.T, q []byte) string {
	t.Helper()
	var out strings.Builder
	rest := q[bytes.Index(q, []byte("-----BEGIN")):]
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			fmt.Fprintf(&out, "then % x\n", rest)
			return out.String()
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s by %s, version %d, %v %v, usage %b, CA %v %d\n", c.Subject.CommonName, c.Issuer.CommonName,
			c.Version, c.PublicKeyAlgorithm, c.SignatureAlgorithm, c.KeyUsage, c.IsCA, c.MaxPathLen)
		fmt.Fprintf(&out, " subject %s\n", derShape(t, c.RawSubject))
		var extensions []string
		for _, e := range c.Extensions {
			line := fmt.Sprintf(" %v critical %v", e.Id, e.Critical)
			if e.Id.String() == "1.2.840.113741.1.13.1" {
				line += " " + derShape(t, e.Value)
			}
			extensions = append(extensions, line)
		}
		slices.Sort(extensions) // Go writes them in an order of its own
		fmt.Fprintln(&out, strings.Join(extensions, "\n"))
	}
}

// derShape describes DER by its tags and object identifiers.
func derShape(t *testing.T, der []byte) string {
	t.Helper()
	var out strings.Builder
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case v.IsCompound:
			fmt.Fprintf(&out, "%d{%s}", v.Tag, derShape(t, v.Bytes))
		case v.Tag == asn1.TagOID:
			fmt.Fprintf(&out, "%x ", v.Bytes)
		case v.Tag == asn1.TagOctetString:
			fmt.Fprintf(&out, "%d[%d] ", v.Tag, len(v.Bytes))
		default:
			fmt.Fprintf(&out, "%d ", v.Tag)
		}
		der = rest
	}
	return out.String()
}

func TestDocumentsHaveGenuineShape(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.tee+" "+pair.ca, func(t *testing.T) {
			want, err := dcap.ParseCollateral(genuine(t, pair.collateral))
			if err != nil {
				t.Fatal(err)
			}
			got := platform(t, simulated.Config{TEE: pair.tee, CA: pair.ca}).Collateral()
			for _, d := range []struct{ name, got, want string }{
				{"TCB info", got.TCBInfo, want.TCBInfo},
				{"QE identity", got.QEIdentity, want.QEIdentity},
			} {
				known := jsonShape(t, d.want)
				for path := range jsonShape(t, d.got) {
					if !known[path] && !strings.HasPrefix(path, ".tcbLevels[].tcb.sgxtcbcomponents[]") && // which only some families describe
						!strings.HasSuffix(path, ".advisoryIDs[] string") { // which only some levels have
						t.Errorf("%s: has %s, which a genuine one has not", d.name, path)
					}
				}
				if g, w := firstNames(d.got), firstNames(d.want); g != w {
					t.Errorf("%s: begins with %s, want %s", d.name, g, w)
				}
			}
		})
	}
}

// jsonShape is the set of paths of a document with their types.
func jsonShape(t *testing.T, doc string) map[string]bool {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	var walk func(string, any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				walk(path+"."+name, member)
			}
		case []any:
			for _, element := range v {
				walk(path+"[]", element)
			}
		default:
			paths[fmt.Sprintf("%s %T", path, v)] = true
		}
	}
	walk("", v)
	return paths
}

// firstNames are the names of the members of a document, in order, up to its list of levels.
func firstNames(doc string) string {
	head, _, _ := strings.Cut(doc, `"tcbLevels"`)
	var names []string
	for i, part := range strings.Split(head, `"`) {
		if i%2 == 1 && strings.HasPrefix(strings.SplitN(head, `"`+part+`"`, 2)[1], ":") {
			names = append(names, part)
		}
	}
	return strings.Join(names, " ")
}

func TestRevocationListsHaveGenuineShape(t *testing.T) {
	want, err := dcap.ParseCollateral(genuine(t, pairs[0].collateral))
	if err != nil {
		t.Fatal(err)
	}
	got := platform(t, simulated.Config{}).Collateral()
	for _, l := range []struct {
		name      string
		got, want []byte
	}{
		{"root CRL", got.RootCACRL, want.RootCACRL},
		{"PCK CRL", got.PCKCRL, want.PCKCRL},
	} {
		if g, w := crlShape(t, l.got), crlShape(t, l.want); g != w {
			t.Errorf("%s: got %s, want %s", l.name, g, w)
		}
	}
}

func crlShape(t *testing.T, der []byte) string {
	t.Helper()
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("by %s %s, number %v, authority %d bytes, %v", l.Issuer.CommonName, derShape(t, l.RawIssuer), l.Number,
		len(l.AuthorityKeyId), l.SignatureAlgorithm)
	if len(l.RevokedCertificateEntries) > 0 {
		e := l.RevokedCertificateEntries[0]
		out += fmt.Sprintf("; entries with reason %d and %d extensions", e.ReasonCode, len(e.Extensions))
	}
	return out
}

func TestQuotesHaveGenuineShape(t *testing.T) {
	want := genuine(t, "sgx_v3_platform_ca.quote")
	got := quote(t, platform(t, simulated.Config{}), [64]byte{}).Quote
	for _, field := range []struct {
		name     string
		from, to int
	}{
		{"version, key type, TEE type", 0, 8},
		{"vendor", 12, 28},
		{"end of user data", 44, 48},
		{"miscselect and reserved bytes", 48 + 16, 48 + 48},
		{"attributes", 48 + 48, 48 + 64},
		{"reserved bytes after MRENCLAVE", 48 + 96, 48 + 128},
		{"reserved bytes after MRSIGNER", 48 + 160, 48 + 256},
		{"reserved bytes after ISVSVN", 48 + 260, 48 + 320},
		{"attributes of the quoting enclave", 564 + 48, 564 + 64},
		{"product of the quoting enclave", 564 + 256, 564 + 258},
		{"end of the quoting enclave's report data", 564 + 352, 564 + 384},
		{"authentication data and type of certification data", 1012, 1048},
	} {
		if g, w := got[field.from:field.to], want[field.from:field.to]; !bytes.Equal(g, w) {
			t.Errorf("%s: got %s, want %s", field.name, hex.EncodeToString(g), hex.EncodeToString(w))
		}
	}
}

// TestTDXQuotesHaveGenuineShape holds the simulated quote of version 4 against a genuine one.
func TestTDXQuotesHaveGenuineShape(t *testing.T) {
	want := genuine(t, "tdx_v4.quote")
	got := quote(t, platform(t, simulated.Config{TEE: "tdx"}), [64]byte{}).Quote
	const body, section = 48, 48 + 584
	const qe = section + 4 + 128 + 6
	for _, field := range []struct {
		name     string
		from, to int
	}{
		{"header up to the user data", 0, 28},
		{"end of the user data", 44, 48},
		{"module and its major version", body, body + 2},
		{"signer and attributes of the module", body + 64, body + 120},
		{"TD attributes, XFAM", body + 120, body + 136},
		{"MRCONFIGID, MROWNER, MROWNERCONFIG", body + 184, body + 328},
		{"type of the outer certification data", qe - 6, qe - 4},
		{"attributes of the quoting enclave", qe + 48, qe + 64},
		{"product of the quoting enclave", qe + 256, qe + 258},
		{"end of the quoting enclave's report data", qe + 352, qe + 384},
		{"authentication data and type of the inner certification data", qe + 448, qe + 448 + 2 + 32 + 2},
	} {
		if g, w := got[field.from:field.to], want[field.from:field.to]; !bytes.Equal(g, w) {
			t.Errorf("%s: got %s, want %s", field.name, hex.EncodeToString(g), hex.EncodeToString(w))
		}
	}
	end := section + 4 + int(binary.LittleEndian.Uint32(want[section:]))
	if g, w := got[len(got)-2:], want[end-2:end]; !bytes.Equal(g, w) {
		t.Errorf("end of the signature section: got %x, want %x", g, w)
	}
}
