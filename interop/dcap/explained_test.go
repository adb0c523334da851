package dcap_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// explained maps an implementation and the name of a piece of evidence to what
// it says of it, where that is not what we say. The table in ../README.md is
// the source, so that what is written there is what is tested.
type explained map[[2]string]string

var quoted = regexp.MustCompile("`([^`]+)`")

// readExplained reads the rows | implementation | evidence | says | why | after the heading "Explained disagreements".
func readExplained(t *testing.T) explained {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "### Explained disagreements\n")
	if !found {
		t.Fatal("../README.md has no section \"Explained disagreements\"")
	}
	section, _, _ = strings.Cut(section, "\n#")
	e := explained{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || strings.HasPrefix(cells[0], "---") {
			continue
		}
		who, says := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[2])
		for _, name := range quoted.FindAllStringSubmatch(cells[1], -1) {
			e[[2]string{who, name[1]}] = says
		}
	}
	if len(e) == 0 {
		t.Fatal("../README.md explains no disagreement")
	}
	return e
}

// TestEveryRowIsAsked: a row about evidence that no test asks about would never be found to be stale.
func TestEveryRowIsAsked(t *testing.T) {
	known := map[string]bool{flippedRoot: true, "original/quote.bin": true}
	for _, v := range simulated.Variants() {
		known[v.Name] = true
	}
	asked := map[string]bool{}
	for _, o := range oracles {
		asked[o.name] = o.name != "ctb" // ours has nothing to explain
	}
	for row := range readExplained(t) {
		if !asked[row[0]] || !known[row[1]] {
			t.Errorf("README.md explains what %s says about %q, which no test asks", row[0], row[1])
		}
	}
}
