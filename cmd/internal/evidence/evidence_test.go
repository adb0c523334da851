package evidence_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

func TestErrors(t *testing.T) {
	b := ctbtest.NewBroker(t, nil)
	policy, collateral := b.Files()
	dir := filepath.Dir(policy)
	root, err := os.ReadFile(filepath.Join(dir, "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(collateral string) error {
		_, root, err := evidence.LoadPolicy(policy)
		if err == nil {
			_, err = evidence.Source{File: collateral}.Open(root)
		}
		return err
	}
	refuse := func(name string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", name, err, want)
		}
	}
	_, _, err = evidence.LoadPolicy("")
	refuse("no policy", err, "no file is named")
	refuse("collateral absent", load(filepath.Join(dir, "absent.json")), "collateral: open")
	refuse("policy for collateral", load(policy), "collateral "+policy)
	set("big.json", make([]byte, 1<<20+1))
	refuse("too big", load(filepath.Join(dir, "big.json")), "got more than 1048576 bytes")

	set("root.pem", append(root, root...))
	refuse("two roots", load(collateral), "simulated_root: "+filepath.Join(dir, "root.pem")+": got several PEM blocks")
	set("root.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}))
	refuse("a key for a root", load(collateral), `got PEM of "PUBLIC KEY", want CERTIFICATE`)
	set("root.pem", []byte("garbage"))
	refuse("garbage for a root", load(collateral), "not a certificate, PEM or DER")

	block, _ := pem.Decode(root)
	set("root.pem", block.Bytes)
	if err := load(collateral); err != nil {
		t.Errorf("DER root: %v", err)
	}
	set("policy.yaml", []byte("build: []\n"))
	refuse("bad policy", load(collateral), "policy "+policy+": line 1, column 1")
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
