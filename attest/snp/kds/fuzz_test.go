package kds_test

import (
	"bytes"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-sev-guest/verify/testdata"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
)

// FuzzPlatform: what is read of a report is what may be asked for.
func FuzzPlatform(f *testing.F) {
	f.Add(testdata.AttestationBytes)
	for _, c := range []snptest.Config{{}, {Product: kds.Turin, Version: 5}, {SignedBy: kds.VLEK}} {
		f.Add(report(f, platform(f, c)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := kds.ParsePlatform(data)
		if err != nil {
			if p != (kds.Platform{}) && len(data) != kds.ReportSize {
				t.Errorf("got %v and %v", p, err)
			}
			return
		}
		if p.SignedBy == kds.VLEK && p.ChipID != [64]byte{} || p.Product == "" && data[0] != 2 {
			t.Errorf("got %v", p)
		}
		_ = p.Of(data).String()
	})
}

// FuzzTable: whatever a host writes, what is read is a part of it, or of the PEM in it.
func FuzzTable(f *testing.F) {
	f.Add(platform(f, snptest.Config{}).Table(), false)
	f.Add(platform(f, snptest.Config{SignedBy: kds.VLEK}).Table(), true)
	f.Add(make([]byte, 24), false)
	f.Fuzz(func(t *testing.T, data []byte, vlek bool) {
		kind := kds.VCEK
		if vlek {
			kind = kds.VLEK
		}
		c, err := kds.FromTableFor(data, kind)
		if err != nil {
			if c != nil {
				t.Error("got both")
			}
			return
		}
		for _, part := range [][]byte{c.Leaf, c.CA, c.Root, c.CRL} {
			if !bytes.Contains(data, part) && !bytes.Contains(data, []byte("-----BEGIN")) {
				t.Errorf("read %x, which is not in the table", part)
			}
		}
		if again, err := kds.ParseCollateral(c.Marshal()); err != nil || !bytes.Equal(again.Marshal(), c.Marshal()) {
			t.Errorf("what is read is written as something else, %v", err)
		}
	})
}

// same tells whether two certificates say the same. Each process that fuzzes has signatures of its own, by the same keys, and reads
// what the others have signed.
func same(a, b []byte) bool {
	x, err := x509.ParseCertificate(a)
	if err != nil {
		return false
	}
	y, err := x509.ParseCertificate(b)
	return err == nil && bytes.Equal(x.RawTBSCertificate, y.RawTBSCertificate)
}

// resigned is the platform's collateral as another process has it, without the root, which differs.
func resigned(t testing.TB) []byte {
	t.Helper()
	c := platform(t, snptest.Config{}).Certificates()
	c.Root = nil
	return c.Marshal()
}

// FuzzCollateral: what parses marshals to the same, and whatever it is, nobody signed it but who did.
func FuzzCollateral(f *testing.F) {
	p := platform(f, snptest.Config{})
	f.Add(p.Certificates().Marshal())
	f.Add(resigned(f))
	f.Add([]byte("{}"))
	f.Add([]byte(`{"leaf":"AQ==","crl":"AQ=="}`))
	good := p.Certificates()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := kds.ParseCollateral(data)
		if err != nil {
			return
		}
		if again, err := kds.ParseCollateral(c.Marshal()); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("got %v, %v, want %v", again, err, c)
		}
		if _, err := c.Verify(p.Root()); err == nil && (!same(c.CA, good.CA) || c.Leaf != nil && !same(c.Leaf, good.Leaf)) {
			t.Error("believed what nobody signed")
		}
	})
}

// FuzzFile: whatever is in a file of a cache, it is used only if it is what the maker said about the chip.
func FuzzFile(f *testing.F) {
	chip := platform(f, snptest.Config{})
	good := chip.Certificates()
	f.Add(good.Marshal())
	f.Add(resigned(f))
	f.Add(platform(f, snptest.Config{Chip: 1}).Certificates().Marshal())
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		p := newPantry(t, chip, dir)
		p.says(nil, errDown)
		if err := os.WriteFile(filepath.Join(dir, kds.FileName(p.about)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := p.cache.Collateral(t.Context(), p.about); err == nil && (!same(got.Leaf, good.Leaf) || !same(got.CA, good.CA)) {
			t.Error("a file was believed that nobody signed")
		}
	})
}

// answering is a network with a service that is asked for the documents whose URLs end so: "crl", "cert_chain", and "" for the certificate
// of a key. Of one of them its answer has this status, header and body; the others it has.
type answering struct {
	document string
	status   int
	after    string
	body     []byte
	others   map[string][]byte
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	document := path.Base(r.URL.Path)
	if document != "crl" && document != "cert_chain" {
		document = ""
	}
	if document != a.document {
		w.Write(a.others[document])
		return w.Result(), nil
	}
	w.Header().Set("Retry-After", a.after)
	w.WriteHeader(a.status)
	w.Write(a.body)
	return w.Result(), nil
}

// FuzzAnswer: whatever a service says of any document, there is collateral in its form, or an error.
func FuzzAnswer(f *testing.F) {
	chip := platform(f, snptest.Config{})
	c := chip.Certificates()
	others := map[string][]byte{"": c.Leaf, "crl": c.CRL, "cert_chain": bundles[0].pem}
	f.Add(100, "", c.Leaf, true)
	f.Add(100, "", bundles[0].pem, false)
	f.Add(100, "", c.CRL, false)
	f.Add(329, "120", []byte("x"), true)
	chips, cloud := about(f, chip), about(f, platform(f, snptest.Config{SignedBy: kds.VLEK}))
	f.Fuzz(func(t *testing.T, status int, after string, body []byte, vcek bool) {
		status = 100 + max(status, 0)%500
		p, documents := chips, []string{"crl", "cert_chain", ""}
		if !vcek {
			p, documents = cloud, documents[:2]
		}
		for _, document := range documents {
			client := &kds.Client{HTTP: &http.Client{Transport: answering{document, status, after, body, others}}}
			client.SetClock(func() time.Time { return t0 }, nil)
			client.SetNoWait()
			got, err := client.Collateral(t.Context(), p)
			if (err == nil) != (got != nil) || err == nil && status != http.StatusOK {
				t.Errorf("got %v, %v", got, err)
			}
			if err != nil {
				continue
			}
			certs := [][]byte{got.CA, got.Root}
			if vcek {
				certs = append(certs, got.Leaf)
			}
			for _, der := range certs {
				if _, err := x509.ParseCertificate(der); err != nil {
					t.Errorf("got a certificate that is none: %v", err)
				}
			}
			if _, err := x509.ParseRevocationList(got.CRL); err != nil {
				t.Errorf("got a revocation list that is none: %v", err)
			}
		}
	})
}
