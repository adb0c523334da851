package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

var update = flag.Bool("update", false, "rewrite the golden output in testdata/script")

// TestMain lets the scripts run this very program as "ctb".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ctb": main})
}

// TestScripts runs the real program, as a process of its own, against the
// scripts in testdata/script: see the comments there.
func TestScripts(t *testing.T) {
	shared, document := sharedVectors(t), genuineNitro(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("SHARED", shared)
			e.Setenv("NITRO", document)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector waits a second at the end of each process
			for _, dir := range []string{"original", "rules"} {
				if err := os.CopyFS(filepath.Join(e.WorkDir, dir), os.DirFS(filepath.Join("testdata", dir))); err != nil {
					return err
				}
			}
			sim := filepath.Join(e.WorkDir, "sim")
			if err := writeSimulated(sim); err != nil {
				return err
			}
			return cmp.Or(startPCS(e, sim), startKDS(e, sim), writeEnclaves(sim))
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "shared": // Intel-signed collateral, which must not be copied into the repository
				return shared != "", nil
			case "nitro": // nor a document that AWS signed
				return document != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code, "pcs": pcsCommand},
	})
}

// code runs a program that must exit with the code given first.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code CODE PROGRAM [ARGUMENT…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%v: got exit code %d, want %d", args[1:], got, want)
	}
}

// sharedVectors is the folder of vectors beside the repository, or "".
func sharedVectors(t *testing.T) string {
	dir, err := filepath.Abs("../../../shared/vectors/dcap")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Logf("some scripts are skipped: they need %s", dir)
		return ""
	}
	return dir
}

// The time of the simulated evidence, and what it is bound to.
var (
	simulatedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	simulatedBy = attest.Binding{
		Use: attest.UseSignature, Issuer: "https://broker.example.com", RulesDigest: [32]byte{0xab, 0xcd},
		Issued: simulatedAt.Add(-time.Hour), Expires: simulatedAt.Add(time.Hour),
	}
)

// writeSimulated writes evidence of simulated hardware in all forms: a quote with
// fixed content, and a key set, certificate and token of a fresh key.
func writeSimulated(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	p, err := simulated.New(simulated.Config{Seed: make([]byte, 32), Now: simulatedAt, ISVSVN: 7})
	if err != nil {
		return err
	}
	e, err := p.Quote(context.Background(), [64]byte{0xda, 0x7a})
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert, err := attest.Certify(context.Background(), p, key, simulatedBy)
	if err != nil {
		return err
	}
	set, err := keySet(key, cert.Raw)
	if err != nil {
		return err
	}
	token, err := accessToken(key, "")
	if err != nil {
		return err
	}
	talkative, err := accessToken(key, `,"scope":"read:reports list:reports","org":{"role":"auditor","level":3,"teams":["red","blue"],"owner":null},`+
		`"https://example.com/team":"blue","email_verified":true`)
	if err != nil {
		return err
	}
	more, err := besides(p, key, cert)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"quote.bin":       e.Quote,
		"quote.hex":       []byte(hex.EncodeToString(e.Quote) + "\n"),
		"quote.b64":       []byte(base64.StdEncoding.EncodeToString(e.Quote)),
		"root.pem":        p.RootPEM(),
		"collateral.json": p.Collateral().Marshal(),
		"cert.der":        cert.Raw,
		"cert.pem":        pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		"jwks.json":       set,
		"token.jwt":       []byte(token + "\n"),
		"talkative.jwt":   []byte(talkative + "\n"),
		"policy.yaml": fmt.Appendf(nil, "builds: [{tee: sgx, mrenclave: %x}]\nissuer: %s\nrules: [\"sha256:%x\"]\nsimulated_root: root.pem\n",
			simulated.DevMRENCLAVE, simulatedBy.Issuer, simulatedBy.RulesDigest),
		"strict.yaml": []byte("builds: [{tee: sgx, mrsigner: " + hex.EncodeToString(make([]byte, 32)) + ", isvprodid: 1, isvsvn: 8}]\nsimulated_root: root.pem\n"),
	}
	maps.Copy(files, more)
	return writeFiles(dir, files)
}

func writeFiles(dir string, files map[string][]byte) error {
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// besides has the key in a set by itself, its evidence in a certificate of another key, its certificate
// twice, and the key of another broker of the same build.
func besides(p *simulated.Platform, key *ecdsa.PrivateKey, cert *x509.Certificate) (map[string][]byte, error) {
	thief, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	stolen := &x509.Certificate{SerialNumber: cert.SerialNumber, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
	for _, e := range cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}) {
			stolen.ExtraExtensions = []pkix.Extension{e}
		}
	}
	stolenDER, err := x509.CreateCertificate(rand.Reader, stolen, stolen, thief.Public(), thief)
	if err != nil {
		return nil, err
	}
	set, err := keySet(key, cert.Raw)
	if err != nil {
		return nil, err
	}
	var alone struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set, &alone); err != nil {
		return nil, err
	}
	alone.Keys = alone.Keys[:1]
	attested, err := json.Marshal(alone)
	if err != nil {
		return nil, err
	}
	staging := simulatedBy
	staging.Issuer = "https://staging.example.com"
	otherCert, err := attest.Certify(context.Background(), p, key, staging)
	if err != nil {
		return nil, err
	}
	others, err := keySet(key, otherCert.Raw)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	return map[string][]byte{
		"attested.json": attested, "staging.json": others, "stolen.der": stolenDER, "chain.pem": append(block, block...),
		"any.yaml": fmt.Appendf(nil, "builds: [{tee: sgx, mrenclave: %x}]\nsimulated_root: root.pem\n", simulated.DevMRENCLAVE),
	}, nil
}

// keySet has the attested key, and one without evidence.
func keySet(key *ecdsa.PrivateKey, cert []byte) ([]byte, error) {
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	for _, k := range []jose.JWK{
		{KeyID: "attested", Algorithm: jose.ES256, Key: key.Public(), Certificate: [][]byte{cert}},
		{KeyID: "bare", Algorithm: jose.EdDSA, Key: other.Public()},
	} {
		if k.KeyID == "attested" { // under the scheme DICE the key id is the thumbprint
			if k.KeyID, err = jose.Thumbprint(k.Key); err != nil {
				return nil, err
			}
		}
		jwk, err := jose.MarshalJWK(k)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, jwk)
	}
	return json.Marshal(set)
}

// accessToken signs a token with the usual claims and more, JSON members that begin with a comma.
func accessToken(key *ecdsa.PrivateKey, more string) (string, error) {
	kid, err := jose.Thumbprint(key.Public())
	if err != nil {
		return "", err
	}
	claims := fmt.Sprintf(`{"iss":%q,"aud":"https://api.example.com","sub":"alice\u001b[31m","iat":%d,"exp":%d,"jti":"1","client_id":"app"%s}`,
		simulatedBy.Issuer, simulatedAt.Unix(), simulatedAt.Add(10*time.Minute).Unix(), more)
	return jose.Sign(jose.Header{Algorithm: jose.ES256, KeyID: kid, Type: "at+jwt"}, []byte(claims), key)
}
