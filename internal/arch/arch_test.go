package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/confidential-token-broker/ctb"

// root is the module's folder. The tests name it instead of standing in it, since the go command
// follows the files that a test opens by name, and runs it again when one has changed.
const root = "../.."

// arrows is the architecture: which of our packages a package may import in
// code that is not a test. Names are below the module, "." is the root;
// "x/..." stands for x and everything below it. All arrows point down; a new
// one is a decision, to be made here and defended in its commit.
var arrows = map[string][]string{
	".":                      {"internal/..."}, // verifies tokens and knows nothing of evidence
	"internal/...":           {"internal/..."}, // ground floor
	"exchange":               {"internal/..."},
	"rules":                  {".", "internal/..."},
	"attest":                 {".", "attest/tee", "internal/..."},
	"attest/tee":             {}, // the vocabulary of all platforms: see TestStandardLibraryOnly
	"attest/dcap":            {"attest/tee"},
	"attest/dcap/pcs":        {"attest/tee", "attest/dcap", "internal/..."}, // where collateral comes from
	"attest/simulated":       {"attest/tee", "attest/dcap"},
	"attest/snp":             {"attest/tee", "attest/snp/kds", "internal/..."},
	"attest/snp/kds":         {"attest/tee", "internal/..."},   // where collateral comes from
	"attest/snp/snptest":     {"attest/tee", "attest/snp/kds"}, // a false AMD for tests
	"attest/nitro":           {"attest/tee", "internal/..."},
	"attest/nitro/nitrotest": {"attest/tee", "internal/..."},                // a security module for tests
	"attest/gramine":         {"attest/tee", "attest/dcap", "internal/..."}, // where evidence comes from, as are the next two
	"attest/tsm":             {"attest/tee", "attest/dcap", "attest/snp/kds", "internal/..."},
	"attest/nsm":             {"attest/tee", "internal/..."},
	"broker":                 {".", "attest", "exchange", "rules", "internal/..."},
	"gateway":                {".", "gateway/access", "gateway/limit", "gateway/session", "internal/..."}, // decides; who asks comes in as an access.Authenticator
	"gateway/access":         {"."},                                                                       // the words that the rooms of the gateway share
	"gateway/credential":     {".", "gateway/access", "internal/..."},
	"gateway/extauthz":       {".", "gateway", "gateway/access", "internal/..."},
	"gateway/limit":          {"gateway/access", "internal/..."},
	"gateway/session":        {".", "gateway/access", "internal/..."},
	"ctbtest":                {".", "attest/...", "broker", "exchange", "gateway", "rules", "internal/..."},
	"cmd/...":                {".", "attest/...", "broker", "exchange", "gateway", "gateway/...", "rules", "internal/...", "cmd/..."},
}

// brokerModules are the modules that ctb-broker links beside ours, and why
// each one may run where the keys live.
var brokerModules = map[string]string{
	"github.com/fsnotify/fsnotify":           "tells when the rule file has changed",
	"github.com/fxamacker/cbor/v2":           "the claims that evidence binds to a key are deterministic CBOR",
	"github.com/go-json-experiment/json":     "JSON of outside origin: duplicate names refused, names case-sensitive",
	"github.com/goccy/go-yaml":               "the configuration: strict, errors with line and column",
	"github.com/google/go-configfs-tsm":      "evidence of TDX and SEV-SNP guests, by Linux's files",
	"github.com/hf/nsm":                      "evidence of a Nitro Enclave, by its device",
	"github.com/x448/float16":                "of cbor",
	"golang.org/x/crypto":                    "its acme, which links nothing else: the certificate of a public CA is of a key that is made inside",
	"go.uber.org/multierr":                   "of go-configfs-tsm",
	"golang.org/x/crypto/x509roots/fallback": "CA roots that do not come from the host",
	"golang.org/x/sys":                       "of fsnotify",
}

func TestArrows(t *testing.T) {
	for _, p := range ours(list(t, "./...")) {
		allowed, known := arrowsOf(p.name())
		if !known {
			t.Errorf("%s: no arrows are written down for this package here", p.name())
		}
		for _, imported := range p.Imports {
			name, ok := below(imported)
			if ok && !slices.ContainsFunc(allowed, func(pattern string) bool { return match(pattern, name) }) {
				t.Errorf("%s imports %s, want only %s", p.name(), name, strings.Join(allowed, " "))
			}
		}
	}
}

// TestNever holds what must not be reached even through others.
func TestNever(t *testing.T) {
	packages := map[string]listed{}
	for _, p := range list(t, "./...") {
		packages[p.ImportPath] = p
	}
	for _, never := range []struct{ from, to, because string }{
		{".", "attest/...", "who verifies tokens of a plain issuer links no attestation"},
		{".", "broker", "it is a library of relying parties"},
		{"broker", "gateway", "they are two programs of two trust levels"},
		{"gateway", "broker", "they are two programs of two trust levels"},
		{"broker", "attest/dcap/...", "which platforms there are is a program's choice"},
		{"cmd/ctb-broker", "attest/simulated", "a production broker has no development root"},
		{"cmd/ctb-gateway", "attest/simulated", "a production gateway has no development root"},
		{"cmd/ctb-broker", "attest/nitro/nitrotest", "a production broker has no development root"},
		{"cmd/ctb-gateway", "attest/nitro/nitrotest", "a production gateway has no development root"},
		{"cmd/ctb-broker", "attest/snp/snptest", "a production broker has no development root"},
		{"cmd/ctb-gateway", "attest/snp/snptest", "a production gateway has no development root"},
		{"cmd/ctb", "attest/snp/snptest", "the keys of its root are published"},
		{"cmd/ctb-broker", "attest/snp", "a broker makes evidence, and links no verifier that it has no need of"},
		{"cmd/ctb-broker", "attest/nitro", "a broker makes evidence, and links no verifier that it has no need of"},
		{"cmd/ctb-broker", "internal/devidp", "a production broker has no development identity provider"},
		{"cmd/ctb-gateway", "internal/devidp", "a production gateway has no development identity provider"},
		{"cmd/ctb-broker", "ctbtest", "fakes are for tests"},
		{"cmd/ctb-gateway", "ctbtest", "fakes are for tests"},
		{"cmd/ctb", "ctbtest", "fakes are for tests"},
	} {
		p, ok := packages[path.Join(module, never.from)]
		if !ok {
			t.Errorf("there is no package %s", never.from)
		}
		for _, dep := range p.Deps {
			if name, ok := below(dep); ok && match(never.to, name) {
				t.Errorf("%s reaches %s: %s", never.from, name, never.because)
			}
		}
	}
}

// TestStandardLibraryOnly: whoever verifies quotes, and nothing else of ours, links no module but this one.
func TestStandardLibraryOnly(t *testing.T) {
	for _, name := range []string{"attest/tee", "attest/dcap", "attest/dcap/pcs", "attest/snp/kds"} {
		for m := range modules(list(t, "./"+name)) {
			t.Errorf("%s links %s, want the standard library only", name, m)
		}
	}
}

func TestModulesOfTheBroker(t *testing.T) {
	got := modules(list(t, "./cmd/ctb-broker"))
	for _, m := range slices.Sorted(maps.Keys(got)) {
		if brokerModules[m] == "" {
			t.Errorf("ctb-broker links %s, which is not in the list: what is its reason?", m)
		}
	}
	for m := range brokerModules {
		if !got[m] {
			t.Errorf("ctb-broker does not link %s: take it off the list", m)
		}
	}
}

// TestModulesOfTheGateway: who embeds the gateway pays for gRPC and metrics only if he asks for them.
func TestModulesOfTheGateway(t *testing.T) {
	for _, p := range []string{"gateway", "gateway/access", "gateway/credential", "gateway/limit", "gateway/session"} {
		for m := range modules(list(t, "./"+p)) {
			if m != "github.com/go-json-experiment/json" {
				t.Errorf("%s links %s, want the module for JSON alone", p, m)
			}
		}
	}
}

// TestSimulatedHardwareIsATag is the other half of TestNever: with the tag, and
// only with it, ctb-broker runs on simulated hardware.
func TestSimulatedHardwareIsATag(t *testing.T) {
	for _, p := range list(t, "-tags=simulated", "./cmd/ctb-broker") {
		if p.name() == "attest/simulated" {
			return
		}
	}
	t.Error("ctb-broker built with the tag simulated does not link attest/simulated")
}

// TestGoMod checks that every direct dependency says why it is there, and that
// the block for tests holds exactly those that no program or package links.
func TestGoMod(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	linked := modules(list(t, "./..."))
	maps.Copy(linked, modules(list(t, "-tags=simulated", "./...")))
	requirement := regexp.MustCompile(`^(?:require )?(\S+) v\S+(?: // (.+))?$`)
	forTests := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "": // between blocks
			forTests = false
		case strings.HasPrefix(line, "// Tests alone"):
			forTests = true
		}
		m := requirement.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name, why := m[1], m[2]
		switch {
		case strings.HasPrefix(why, "indirect"):
		case why == "":
			t.Errorf("go.mod: %s has no reason beside it", name)
		case forTests && linked[name]:
			t.Errorf("go.mod: %s is in the block for tests, but code that is no test links it", name)
		case !forTests && !linked[name]:
			t.Errorf("go.mod: only tests need %s: it belongs into their block", name)
		}
	}
}

// TestPackageDocs opens every file, so that the go command runs these tests again when one has changed.
func TestPackageDocs(t *testing.T) {
	for dir, files := range sources(t) {
		var docs int
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil && !strings.HasSuffix(file, "_test.go") {
				docs++
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments, want one", dir, docs)
		}
	}
}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
	Imports    []string // of code that is not a test
	Deps       []string // all of them, transitively
}

// name is the package's path below the module, or its import path.
func (p listed) name() string {
	if name, ok := below(p.ImportPath); ok {
		return name
	}
	return p.ImportPath
}

// list runs go list -deps: the named packages and all that their code which is not a test needs.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	args = append([]string{"list", "-deps", "-json=ImportPath,Standard,Module,Imports,Deps"}, args...)
	var stderr bytes.Buffer
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// ours are the packages of this module.
func ours(packages []listed) []listed {
	return slices.DeleteFunc(packages, func(p listed) bool { return p.Module == nil || p.Module.Path != module })
}

// modules are the modules of the packages, but for ours.
func modules(packages []listed) map[string]bool {
	found := map[string]bool{}
	for _, p := range packages {
		if p.Module != nil && p.Module.Path != module {
			found[p.Module.Path] = true
		}
	}
	return found
}

// below is the path below the module of one of our packages.
func below(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func arrowsOf(name string) (allowed []string, known bool) {
	for pattern, allowed := range arrows {
		if match(pattern, name) {
			return allowed, true
		}
	}
	return nil, false
}

// match tells whether name is pattern or, for "x/...", x or below it.
func match(pattern, name string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == base || strings.HasPrefix(name, base+"/")
	}
	return name == pattern
}

// sources are the Go files of every package of this module, by the folder below the module.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != root && skipped(file, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(file, ".go"):
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		found[dir] = append(found[dir], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// skipped folders hold no package of this module: a module of its own is one.
func skipped(dir, name string) bool {
	if strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}
