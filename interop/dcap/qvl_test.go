package dcap_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// askQVL asks npm's @phala/dcap-qvl, all in one process of node.
func askQVL(t *testing.T, all []evidence) []verdict {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("dcap-qvl is not asked: there is no node on this machine")
	}
	if _, err := os.Stat("../node_modules/@phala/dcap-qvl"); err != nil {
		t.Skip("dcap-qvl is not asked: run npm ci in interop/ first")
	}

	type question struct {
		Quote      []byte          `json:"quote"`
		Collateral json.RawMessage `json:"collateral"` // our interchange form is its own
		Root       []byte          `json:"root"`
		At         int64           `json:"at"`
	}
	var questions []question
	for _, e := range all {
		q := question{Quote: e.quote, Collateral: e.collateral.Marshal(), At: e.at.Unix()}
		if e.root != nil {
			q.Root = e.root.Raw
		}
		questions = append(questions, q)
	}
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}

	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), node, "qvl.cjs")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("qvl.cjs: %v\n%s", err, &stderr)
	}
	var answers []struct {
		Status     string
		Advisories []string
		Error      string
	}
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != len(all) {
		t.Fatalf("qvl.cjs: got %d answers, want %d", len(answers), len(all))
	}
	var verdicts []verdict
	for _, a := range answers {
		v := verdict{refused: a.Error}
		if a.Error == "" {
			v.status, v.advisories = []tee.Status{tee.Status(a.Status)}, sorted(a.Advisories)
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}
