package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// development is hardware under a development root.
type development interface {
	attest.Quoter
	RootPEM() []byte
}

// developments are one of each maker's kind, of now.
func developments(t *testing.T) (intel, amd, aws development) {
	t.Helper()
	sgx, err1 := simulated.New(simulated.Config{})
	snp, err2 := snptest.New(snptest.Config{})
	nitro, err3 := nitrotest.New(nitrotest.Config{})
	if err := cmp.Or(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return sgx, snp, nitro
}

func simulatedNow() time.Time { return simulatedAt }

// guests are the machines of AMD's kind in the scripts, by the names of their reports, and what else is in their reports.
var guests = map[string]snptest.Config{
	"snp":      {},
	"snp-vlek": {SignedBy: kds.VLEK},
	"snp-turin": {Product: kds.Turin, Version: 5, Chip: 7, TCB: tee.AMDTCB{FMC: 1, Bootloader: 1, TEE: 1, SNP: 4, Microcode: 81},
		Report: func(r []byte) { r[0x30] = 2 }}, // asked for by VMPL 2
	"snp-open": {Product: kds.Genoa, Chip: 9, Report: func(r []byte) { r[0x0a] |= 1<<3 | 1<<2 }}, // debug and migration agent allowed
}

// startKDS starts a key distribution service for the machines of a script, and writes their evidence in all forms. The script has its URL in $KDS.
func startKDS(e *testscript.Env, dir string) error {
	var all []*snptest.Platform
	for name, c := range guests {
		c.Now = simulatedNow
		p, err := snptest.New(c)
		if err != nil {
			return err
		}
		all = append(all, p)
		report, err := p.Report([64]byte{0xda, 0x7a})
		if err != nil {
			return err
		}
		files, err := attested(name, p)
		if err != nil {
			return err
		}
		files[name+".report"] = report
		files[name+".hex"] = []byte(hex.EncodeToString(report) + "\n")
		files[name+".b64"] = []byte(base64.StdEncoding.EncodeToString(report))
		files[name+".ext"] = append(report[:len(report):len(report)], p.Table()...)
		files[name+"-root.pem"] = p.RootPEM()
		files[name+".json"] = p.Certificates().Marshal()
		if err := writeFiles(dir, files); err != nil {
			return err
		}
	}
	server := httptest.NewServer(snptest.NewService(all...))
	e.Defer(server.Close)
	e.Setenv("KDS", server.URL)
	return writeGenuineMilan(dir)
}

// attested has a key that evidence of this hardware vouches for: as a certificate, a key set and an attestation document.
func attested(name string, q attest.Quoter) (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := attest.Certify(context.Background(), q, key, simulatedBy)
	if err != nil {
		return nil, err
	}
	set, err := keySet(key, cert.Raw)
	if err != nil {
		return nil, err
	}
	var keys struct {
		Keys []struct {
			KeyID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(set, &keys); err != nil {
		return nil, err
	}
	doc := &attest.Attestation{
		Issuer: simulatedBy.Issuer,
		Keys:   []attest.AttestedKey{{KeyID: keys.Keys[0].KeyID, Use: attest.UseSignature, Certificates: [][]byte{cert.Raw}}},
	}
	e, err := q.Quote(context.Background(), [64]byte{})
	if err != nil {
		return nil, err
	}
	if e.Collateral != nil {
		doc.Collateral = map[string]json.RawMessage{e.Platform: e.Collateral}
	}
	text, err := doc.Marshal()
	if err != nil {
		return nil, err
	}
	token, err := accessToken(key, "")
	return map[string][]byte{
		name + ".jwt":              []byte(token),
		name + "-cert.pem":         pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		name + "-jwks.json":        set,
		name + "-attestation.json": text,
	}, err
}

// writeGenuineMilan writes the report that a chip of AMD's made, of go-sev-guest's test data, with AMD's certificates.
func writeGenuineMilan(dir string) error {
	ca, rest := pem.Decode(trust.AskArkMilanVcekBytes)
	root, _ := pem.Decode(rest)
	c := kds.Collateral{Leaf: testdata.VcekBytes, CA: ca.Bytes, Root: root.Bytes}
	return writeFiles(dir, map[string][]byte{"milan.report": testdata.AttestationBytes, "milan.json": c.Marshal()})
}

// writeEnclaves writes documents of simulated Nitro Enclaves.
func writeEnclaves(dir string) error {
	for name, c := range map[string]nitrotest.Config{"nitro": {}, "nitro-debug": {Debug: true, Tagged: true}} {
		c.Seed, c.Now = make([]byte, 32), simulatedNow
		m, err := nitrotest.New(c)
		if err != nil {
			return err
		}
		files, err := attested(name, m)
		if err != nil {
			return err
		}
		doc := m.Document([]byte("what the enclave says"), []byte("0123456789abcdef"), nil, simulatedAt)
		files[name+".doc"] = doc
		files[name+".b64"] = []byte(base64.StdEncoding.EncodeToString(doc))
		files["nitro-root.pem"] = m.RootPEM()
		if err := writeFiles(dir, files); err != nil {
			return err
		}
	}
	return nil
}

// genuineNitro is the path of a genuine document of AWS's beside the repository, or "".
func genuineNitro(t *testing.T) string {
	path, err := filepath.Abs("../../../shared/vectors/nitro/attdoc-2024-09-17-debug.b64")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Logf("a script is skipped: it needs %s", path)
		return ""
	}
	return path
}
