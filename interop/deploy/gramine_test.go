package deploy

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oasisprotocol/oasis-core/go/common/sgx"
	"github.com/oasisprotocol/oasis-core/go/common/sgx/sigstruct"
	"github.com/pelletier/go-toml/v2"
)

const root = "../.."

// TestMain makes this program two more: under their names it stands in for Gramine's tools.
func TestMain(m *testing.M) {
	standIn := map[string]func([]string) error{"gramine-manifest": render, "gramine-sgx-sign": sign}[filepath.Base(os.Args[0])]
	if standIn == nil {
		os.Exit(m.Run())
	}
	if err := standIn(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0], err)
		os.Exit(1)
	}
}

// rendered is what gramine-manifest makes of the template. Of Jinja it knows the three expressions that are in it.
func rendered(template string) (string, error) {
	text := strings.NewReplacer(
		"{{ gramine.libos }}", "/usr/lib/x86_64-linux-gnu/gramine/libsysdb.so",
		"{{ log_level }}", "error",
		"{{ 'true' if env.get('EDMM', '0') == '1' else 'false' }}", "false",
	).Replace(template)
	if strings.Contains(text, "{{") || strings.Contains(text, "{%") {
		return "", errors.New("the template has an expression that is not known here")
	}
	return text, nil
}

// render stands in for `gramine-manifest -Dlog_level=error TEMPLATE MANIFEST`.
func render(args []string) error {
	if len(args) != 3 || args[0] != "-Dlog_level=error" {
		return fmt.Errorf("got %q", args)
	}
	template, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	text, err := rendered(string(template))
	if err != nil {
		return err
	}
	return os.WriteFile(args[2], []byte(text), 0o644)
}

// enclaveHash is the measurement of the stand-in.
var enclaveHash = sgx.MrEnclave{1, 2, 3, 31: 0xff}

// sign stands in for `gramine-sgx-sign --key KEY --manifest IN --output OUT`. Like it, it hashes the trusted
// files, and leaves the signature beside its output. The signature is oasis-core's.
func sign(args []string) error {
	flags := flag.NewFlagSet("gramine-sgx-sign", flag.ContinueOnError)
	key, in, out := flags.String("key", "", ""), flags.String("manifest", "", ""), flags.String("output", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !filepath.IsAbs(*key) {
		return fmt.Errorf("got the key %q, want an absolute path: the working directory is another", *key)
	}
	text, err := os.ReadFile(*in)
	if err != nil {
		return err
	}
	var m manifest
	if err := toml.Unmarshal(text, &m); err != nil {
		return err
	}
	for _, uri := range m.SGX.TrustedFiles {
		if path := strings.TrimPrefix(uri, "file:"); !filepath.IsAbs(path) {
			if _, err := os.Stat(path); err != nil {
				return err
			}
		}
	}
	private, err := keyWithExponent3()
	if err != nil {
		return err
	}
	signature, err := sigstruct.New(
		sigstruct.WithEnclaveHash(enclaveHash), sigstruct.WithISVProdID(m.SGX.ISVProdID), sigstruct.WithISVSVN(m.SGX.ISVSVN),
		sigstruct.WithAttributes(sgx.Attributes{Flags: sgx.AttributeMode64Bit, Xfrm: 3}), sigstruct.WithAttributesMask([2]uint64{^uint64(0), ^uint64(0)}),
	).Sign(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, text, 0o644); err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(*out, ".manifest.sgx")+".sig", signature, 0o644)
}

// keyWithExponent3 makes a key as SGX wants it, and crypto/rsa makes none.
func keyWithExponent3() (*rsa.PrivateKey, error) {
	one, three := big.NewInt(1), big.NewInt(3)
	for {
		p, err := rand.Prime(rand.Reader, 1536)
		if err != nil {
			return nil, err
		}
		q, err := rand.Prime(rand.Reader, 1536)
		if err != nil {
			return nil, err
		}
		n := new(big.Int).Mul(p, q)
		d := new(big.Int).ModInverse(three, new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)))
		if d == nil || n.BitLen() != 3072 {
			continue
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 3}, D: d, Primes: []*big.Int{p, q}}
		key.Precompute()
		return key, nil
	}
}

// manifest is the part of a manifest that is looked at here.
type manifest struct {
	Loader struct {
		Entrypoint string            `toml:"entrypoint"`
		Argv       []string          `toml:"argv"`
		Env        map[string]string `toml:"env"`
	} `toml:"loader"`
	LibOS struct {
		Entrypoint string `toml:"entrypoint"`
	} `toml:"libos"`
	FS struct {
		Mounts []struct{ Path, URI string } `toml:"mounts"`
	} `toml:"fs"`
	SGX struct {
		Debug             *bool    `toml:"debug"`
		RemoteAttestation string   `toml:"remote_attestation"`
		MaxThreads        int      `toml:"max_threads"`
		TrustedFiles      []string `toml:"trusted_files"`
		AllowedFiles      []string `toml:"allowed_files"`
		ISVProdID         uint16   `toml:"isvprodid"`
		ISVSVN            uint16   `toml:"isvsvn"`
	} `toml:"sgx"`
}

// TestManifest holds the manifest to what makes the enclave worth something.
func TestManifest(t *testing.T) {
	template, err := os.ReadFile(filepath.Join(root, "deploy/gramine/ctb-broker.manifest.template"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := rendered(string(template))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := toml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := toml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	for _, name := range names("", all) {
		if strings.Contains(name, "insecure__") || strings.Contains(name, "file_check_policy") {
			t.Errorf("it has the key %s", name)
		}
	}
	if m.SGX.Debug == nil || *m.SGX.Debug {
		t.Error("want debug = false, said aloud")
	}
	if m.SGX.RemoteAttestation != "dcap" {
		t.Errorf("got remote_attestation %q", m.SGX.RemoteAttestation)
	}
	if m.Loader.Env["GODEBUG"] != "asyncpreemptoff=1" || m.Loader.Env["GOMAXPROCS"] == "" {
		t.Errorf("got the environment %v", m.Loader.Env)
	}
	if !slices.Equal(m.Loader.Argv, []string{"ctb-broker", "-config", "/config/broker.yaml"}) {
		t.Errorf("got the arguments %q", m.Loader.Argv)
	}
	if !slices.Contains(m.SGX.TrustedFiles, "file:ctb-broker") || slices.Contains(m.SGX.AllowedFiles, "file:ctb-broker") {
		t.Error("the broker is not measured")
	}
	for _, mount := range m.FS.Mounts {
		if strings.HasPrefix(mount.URI, "file:/") {
			t.Errorf("%s: the measurement depends on the folder %s", mount.Path, mount.URI)
		}
	}
}

// names lists all keys, in full.
func names(above string, table map[string]any) []string {
	var list []string
	for key, value := range table {
		list = append(list, above+key)
		if below, ok := value.(map[string]any); ok {
			list = append(list, names(above+key+".", below)...)
		}
	}
	return list
}

// TestBuildScript runs `make gramine` with stand-ins for Gramine's two tools.
func TestBuildScript(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	for _, name := range []string{"gramine-manifest", "gramine-sgx-sign"} {
		if err := os.Symlink(self, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tools, "key.pem"), []byte("the stand-in makes one"), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("make", "-C", root, "gramine", "KEY="+filepath.Join(tools, "key.pem"))
	build.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"))
	said, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, words := range []string{fmt.Sprintf("mrenclave   %x", enclaveHash[:]), "isvprodid   1", "it can't be loaded as a debug enclave", "gramine-sgx ctb-broker"} {
		if !strings.Contains(string(said), words) {
			t.Errorf("it does not say %q:\n%s", words, said)
		}
	}
}

// TestBuildScriptWithoutGramine: whoever has none is told so before anything is built.
func TestBuildScriptWithoutGramine(t *testing.T) {
	if _, err := exec.LookPath("gramine-manifest"); err == nil {
		t.Skip("Gramine is installed here")
	}
	said, err := exec.Command(filepath.Join(root, "deploy/gramine/build")).CombinedOutput()
	if err == nil || !strings.Contains(string(said), "install Gramine") {
		t.Errorf("got %v, %s", err, said)
	}
}
