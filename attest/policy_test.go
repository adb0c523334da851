package attest_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

const (
	encl32 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sign32 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	hex48  = encl32 + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	rules1 = "sha256:0102030000000000000000000000000000000000000000000000000000000000"
)

const wholePolicy = `
builds:                        # evidence must match one of these whole
  - tee: sgx
    mrenclave: ` + encl32 + `
    debug: false
    sample_signer: false
  - tee: sgx
    mrsigner: ` + sign32 + `
    isvprodid: 1
    isvsvn: 2
  - tee: tdx
    mrtd: ` + hex48 + `
    rtmr0: ` + hex48 + `
    td_attributes: "0000001000000000"
    xfam: e702060000000000
tcb:
  accept: [UpToDate, SWHardeningNeeded]
  advisories: [INTEL-SA-00615]
  tolerate:
    - status: OutOfDate
      until: 2027-01-31
      advisories: [INTEL-SA-00828]
    - {status: ConfigurationNeeded, until: 2027-01-31T12:00:00+01:00}
  evaluation_number: 17
issuer: https://broker.example.com
rules: ["` + rules1 + `"]
scheme: dice
simulated_root: dev-root.pem
`

func TestParsePolicy(t *testing.T) {
	got, err := attest.ParsePolicy([]byte(wholePolicy))
	if err != nil {
		t.Fatal(err)
	}
	aa, bb, mrtd := bytes.Repeat([]byte{0xaa}, 32), bytes.Repeat([]byte{0xbb}, 32), bytes.Repeat([]byte{0xaa}, 48)
	one, two := uint16(1), uint16(2)
	want := &attest.Policy{
		Builds: []attest.Build{
			{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": aa}},
			{TEE: "sgx", Measurements: map[string][]byte{"mrsigner": bb}, ISVProdID: &one, ISVSVN: &two},
			{TEE: "tdx", Measurements: map[string][]byte{"mrtd": mrtd, "rtmr0": mrtd, "td_attributes": unhex("0000001000000000"), "xfam": unhex("e702060000000000")}},
		},
		TCB: attest.TCBRule{
			Accept: []attest.Status{attest.UpToDate, attest.SWHardeningNeeded},
			Tolerate: []attest.Toleration{
				{Status: attest.OutOfDate, Until: time.Date(2027, 1, 31, 23, 59, 59, 999999999, time.UTC), Advisories: []string{"INTEL-SA-00828"}},
				{Status: attest.ConfigurationNeeded, Until: time.Date(2027, 1, 31, 11, 0, 0, 0, time.UTC)},
			},
			Advisories: []string{"INTEL-SA-00615"}, EvaluationNumber: 17,
		},
		Issuer: issuer, Rules: []string{rules1}, Scheme: attest.DICE, SimulatedRoot: "dev-root.pem",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A measurement is its digits, whatever YAML takes them for without quotes.
func TestParsePolicyMeasurementWithoutQuotes(t *testing.T) {
	for _, digits := range []string{
		strings.Repeat("1", 64), "0" + strings.Repeat("7", 63), strings.Repeat("1", 60) + "e123", "12e4" + strings.Repeat("0", 60), strings.ToUpper(encl32),
	} {
		for _, format := range []string{"builds: [{tee: sgx, mrenclave: %s}]", "builds:\n- mrenclave: %s\n  tee: sgx\n", `{"builds":[{"tee":"sgx","mrenclave":"%s"}]}`, "{\n\t\"builds\": [\n\t\t{\"tee\": \"sgx\", \"mrenclave\": \"%s\"}\n\t]\n}"} {
			p, err := attest.ParsePolicy(fmt.Appendf(nil, format, digits))
			if err != nil {
				t.Errorf("%s: %v", digits, err)
				continue
			}
			if got := hex.EncodeToString(p.Builds[0].Measurements["mrenclave"]); got != strings.ToLower(digits) {
				t.Errorf("got %s, want %s", got, digits)
			}
		}
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	const ok = "builds: [{tee: sgx, mrenclave: " + encl32 + "}]\n"
	tests := map[string]struct{ policy, want string }{
		"empty":                         {"", "builds: the file is empty"},
		"only a comment":                {"# nothing\n", "builds: the file is empty"},
		"byte order mark":               {"\ufeff" + ok, "line 1, column 1: the text begins with a byte order mark (EF BB BF): save it as UTF-8 without BOM"},
		"UTF-16":                        {"\xff\xfeb\x00u\x00", "line 1, column 1: the text is UTF-16: save it as UTF-8 without BOM"},
		"UTF-16, high bytes first":      {"\xfe\xff\x00b\x00u", "line 1, column 1: the text is UTF-16"},
		"a word":                        {"hello", `line 1, column 1: got "hello", want keys and values`},
		"a list":                        {"- tee: sgx\n", "line 1, column 1: got a list, want keys and values"},
		"no builds":                     {"issuer: https://b.example\n", "builds: no build is named"},
		"empty builds":                  {"builds: []\n", "line 1, column 1: builds: no build is named"},
		"null builds":                   {"builds:\n", "line 1, column 1: builds: got nothing, want a list"},
		"builds is a build":             {"builds:\n  tee: sgx\n", "line 1, column 1: builds: got keys and values, want a list"},
		"build is a word":               {"builds: [sgx]\n", `line 1, column 10: builds[0]: got "sgx", want keys and values`},
		"unknown key":                   {ok + "isuer: https://b.example\n", "line 2, column 1: isuer: is not a key of a policy; known here are builds, issuer"},
		"unknown key of a build":        {"builds:\n  - tee: sgx\n    mrenclaev: aa\n", "line 3, column 5: builds[0].mrenclaev: is not a key of a policy; known here are debug, isvprodid"},
		"unknown key of tcb":            {ok + "tcb: {min: 3}\n", "line 2, column 7: tcb.min: is not a key of a policy; known here are accept, advisories, evaluation_number, tolerate"},
		"key in capitals":               {"Builds: []\n", "Builds: is not a key"},
		"same key twice":                {ok + "scheme: dice\nscheme: original\n", `line 3, column 1: mapping key "scheme" already defined`},
		"same key twice in JSON":        {`{"scheme":"dice","scheme":"dice"}`, `mapping key "scheme" already defined`},
		"broken YAML":                   {"builds: [}\n", "line 1, column 9: "},
		"broken JSON":                   {`{"builds": [`, "line 1, column "},
		"text behind JSON":              {`{"builds": []} x`, "line 1, column 16"},
		"second document":               {ok + "---\n" + ok, "a second document"},
		"anchor":                        {"builds: &b []\n", "line 1, column 9: anchors, aliases and merge keys are not read"},
		"alias":                         {"issuer: *b\n", "anchors, aliases and merge keys are not read"},
		"merge key":                     {"builds: [{<<: {}}]\n", "anchors, aliases and merge keys are not read"},
		"tag":                           {"issuer: !!str x\n", `"!!str" is not read`},
		"complex key":                   {"? builds\n: []\n", `"?" is not read`},
		"directive":                     {"%YAML 1.2\n---\n" + ok, "is not read here"},
		"deep brackets":                 {"builds: " + strings.Repeat("[", 10000), "nested too deeply"},
		"deep braces":                   {strings.Repeat("{a: ", 10000), "nested too deeply"},
		"empty lines in a text":         {"a: |\n  " + strings.Repeat("\n", 1<<20-10), "line 202, column 1: too many empty lines follow one another"},
		"lines of spaces in a text":     {"a: >\n  b" + strings.Repeat("\r\n  ", 100000), "too many empty lines follow one another"},
		"deep dashes":                   {strings.Repeat("- ", 10000) + "a", "nested too deeply"},
		"more keys than a parser bears": {strings.Repeat("a: 1\n", 10000), "line 6667, column 4: got 20000 keys, values and signs before here"},
		"larger than 1 MiB":             {ok + strings.Repeat("#", 1<<20), "want at most 1048576"},
		"no tee":                        {"builds: [{mrenclave: " + encl32 + "}]", "line 1, column 10: builds[0].tee: is missing; name sgx, tdx, sev-snp or nitro"},
		"unknown tee":                   {"builds:\n  - tee: SGX\n", `line 2, column 5: builds[0].tee: got "SGX", want sgx, tdx, sev-snp or nitro`},
		"tee is a number":               {"builds:\n  - tee: 3\n", `builds[0].tee: got "3", want a string`},
		"any enclave":                   {"builds:\n  - tee: sgx\n", "line 2, column 5: builds[0]: too many enclaves would match; name its mrenclave"},
		"signer without product":        {"builds: [{tee: sgx, mrsigner: " + sign32 + ", isvsvn: 1}]", "builds[0]: too many enclaves would match"},
		"signer without version":        {"builds: [{tee: sgx, mrsigner: " + sign32 + ", isvprodid: 1}]", "builds[0]: too many enclaves would match"},
		"any guest":                     {"builds: [{tee: tdx, rtmr0: " + hex48 + "}]", "builds[0]: any tdx guest would match; name its mrtd"},
		"second build of any":           {"builds: [{tee: sgx, mrenclave: " + encl32 + "}, {tee: sgx}]", "builds[1]: too many enclaves"},
		"mrtd of sgx":                   {"builds:\n  - tee: sgx\n    mrenclave: " + encl32 + "\n    mrtd: " + hex48 + "\n", "line 4, column 5: builds[0].mrtd: is of tdx, and this build is of sgx; remove it"},
		"mrenclave of tdx":              {"builds: [{tee: tdx, mrtd: " + hex48 + ", mrenclave: " + encl32 + "}]", "builds[0].mrenclave: is of sgx, and this build is of tdx; remove it"},
		"isvsvn of tdx":                 {"builds: [{tee: tdx, mrtd: " + hex48 + ", isvsvn: 1}]", "builds[0].isvsvn: is of sgx, and this build is of tdx; remove it"},
		"isvprodid of tdx":              {"builds: [{tee: tdx, mrtd: " + hex48 + ", isvprodid: 1}]", "builds[0].isvprodid: is of sgx"},
		"sample signer of tdx":          {"builds: [{tee: tdx, mrtd: " + hex48 + ", sample_signer: true}]", "builds[0].sample_signer: is of sgx"},
		"short measurement":             {"builds: [{tee: sgx, mrenclave: aabb}]", "builds[0].mrenclave: got 2 bytes, want 32 (64 hex digits)"},
		"odd measurement":               {"builds: [{tee: sgx, mrenclave: aab}]", "got 3 hex digits, want an even number"},
		"long measurement":              {"builds: [{tee: sgx, mrenclave: " + hex48 + "}]", "got 48 bytes, want 32"},
		"measurement not hex":           {"builds: [{tee: sgx, mrenclave: xyz!}]", `got "xyz!", want hex digits`},
		"measurement with 0x":           {"builds: [{tee: sgx, mrenclave: 0x" + encl32 + "}]", "want hex digits without the 0x"},
		"empty measurement":             {`builds: [{tee: sgx, mrenclave: ""}]`, "builds[0].mrenclave: is empty"},
		"measurement is a list":         {"builds: [{tee: sgx, mrenclave: [aa]}]", "builds[0].mrenclave: got a list, want hex digits"},
		"measurement is a bool":         {"builds: [{tee: sgx, mrenclave: true}]", `got "true", want hex digits`},
		"debug is a word":               {"builds: [{tee: sgx, debug: yes}]", `builds[0].debug: got "yes", want true or false`},
		"isvsvn is negative":            {"builds: [{tee: sgx, isvsvn: -1}]", `builds[0].isvsvn: got "-1", want a number from 0 to 65535`},
		"isvsvn is too large":           {"builds: [{tee: sgx, isvsvn: 65536}]", "want a number from 0 to 65535"},
		"isvsvn is hex":                 {"builds: [{tee: sgx, isvsvn: 0x10}]", "want a number from 0 to 65535"},
		"isvsvn is a fraction":          {"builds: [{tee: sgx, isvsvn: 1.5}]", "want a number from 0 to 65535"},
		"Revoked accepted":              {ok + "tcb:\n  accept: [UpToDate, Revoked]\n", "line 3, column 22: tcb.accept[1]: a revoked platform can't be accepted"},
		"unknown status":                {ok + "tcb: {accept: [uptodate]}\n", `tcb.accept[0]: got "uptodate", want one of UpToDate, SWHardeningNeeded, ConfigurationNeeded`},
		"no status":                     {ok + "tcb: {accept: []}\n", "tcb.accept: is empty"},
		"status is no list":             {ok + "tcb: {accept: UpToDate}\n", `tcb.accept: got "UpToDate", want a list`},
		"status tolerated without end":  {ok + "tcb:\n  tolerate:\n    - status: OutOfDate\n", "line 4, column 7: tcb.tolerate[0].until: is missing; give the last day"},
		"Revoked tolerated":             {ok + "tcb:\n  tolerate: [{status: Revoked, until: 2027-01-31}]\n", "line 3, column 15: tcb.tolerate[0].status: a revoked platform can't be tolerated"},
		"unknown status tolerated":      {ok + "tcb: {tolerate: [{status: Outdated, until: 2027-01-31}]}\n", `tcb.tolerate[0].status: got "Outdated", want one of UpToDate`},
		"no status tolerated":           {ok + "tcb: {tolerate: [{until: 2027-01-31}]}\n", `tcb.tolerate[0].status: got ""`},
		"tolerated and accepted":        {ok + "tcb: {accept: [OutOfDate], tolerate: [{status: OutOfDate, until: 2027-01-31}]}\n", "tcb.tolerate[0].status: OutOfDate is in tcb.accept and so accepted without an end"},
		"tolerated, the default":        {ok + "tcb: {tolerate: [{status: SWHardeningNeeded, until: 2027-01-31}]}\n", "SWHardeningNeeded is in tcb.accept by default"},
		"tolerated twice":               {ok + "tcb:\n  tolerate:\n  - {status: OutOfDate, until: 2027-01-31}\n  - {status: OutOfDate, until: 2028-01-31}\n", "line 5, column 6: tcb.tolerate[1].status: OutOfDate is given twice"},
		"until is no date":              {ok + "tcb: {tolerate: [{status: OutOfDate, until: tomorrow}]}\n", `tcb.tolerate[0].until: got "tomorrow", want a day such as 2027-01-31`},
		"until without a zone":          {ok + "tcb: {tolerate: [{status: OutOfDate, until: \"2027-01-31T12:00:00\"}]}\n", "want a day such as 2027-01-31, which is tolerated until it ends in UTC, or an instant"},
		"until is no day":               {ok + "tcb: {tolerate: [{status: OutOfDate, until: 2027-02-30}]}\n", `got "2027-02-30", want a day`},
		"until is a number":             {ok + "tcb: {tolerate: [{status: OutOfDate, until: 20270131}]}\n", `got "20270131", want an instant or a day`},
		"tolerated advisory of blanks":  {ok + "tcb: {tolerate: [{status: OutOfDate, until: 2027-01-31, advisories: [\"\"]}]}\n", "tcb.tolerate[0].advisories[0]: got"},
		"unknown key of a toleration":   {ok + "tcb:\n  tolerate:\n  - {status: OutOfDate, til: 2027-01-31}\n", "line 4, column 25: tcb.tolerate[0].til: is not a key of a policy; known here are advisories, status, until"},
		"toleration is a status":        {ok + "tcb: {tolerate: [OutOfDate]}\n", `tcb.tolerate[0]: got "OutOfDate", want keys and values`},
		"short xfam":                    {"builds:\n  - tee: tdx\n    mrtd: " + hex48 + "\n    xfam: e702\n", "line 4, column 5: builds[0].xfam: got 2 bytes, want 8 (16 hex digits)"},
		"short td_attributes":           {"builds: [{tee: tdx, mrtd: " + hex48 + ", td_attributes: 00}]", "builds[0].td_attributes: got 1 bytes, want 8"},
		"xfam of sgx":                   {"builds: [{tee: sgx, mrenclave: " + encl32 + ", xfam: 0000000000000000}]", "builds[0].xfam: is of tdx, and this build is of sgx; remove it"},
		"advisory with a blank":         {ok + "tcb: {advisories: [\"INTEL SA\"]}\n", "tcb.advisories[0]: got"},
		"evaluation number large":       {ok + "tcb: {evaluation_number: 4294967296}\n", "want a number from 0 to 4294967295"},
		"issuer without a scheme":       {ok + "issuer: broker.example.com\n", "line 2, column 1: issuer: got \"broker.example.com\", want a URL"},
		"empty issuer":                  {ok + "issuer: \"\"\n", "issuer: is empty"},
		"no rules":                      {ok + "rules: []\n", "rules: is empty"},
		"rules without sha256":          {ok + "rules: [" + encl32 + "]\n", `want "sha256:" and 64 hex digits`},
		"short rules digest":            {ok + "rules: [\"sha256:aa\"]\n", "line 2, column 9: rules[0]: got \"sha256:aa\""},
		"unknown scheme":                {ok + "scheme: any\n", `scheme: got "any", want dice or original`},
		"original with an issuer":       {ok + "scheme: original\nissuer: https://b.example\n", "issuer: evidence of the scheme original binds no issuer"},
		"original with rules":           {ok + "scheme: original\nrules: [\"" + rules1 + "\"]\n", "rules: evidence of the scheme original binds no rules"},
		"simulated root is true":        {ok + "simulated_root: true\n", `simulated_root: got "true", want a string`},
	}
	refuses(t, tests)
}

// refuses holds that each policy is refused, and what the error says.
func refuses(t *testing.T, tests map[string]struct{ policy, want string }) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := attest.ParsePolicy([]byte(test.policy))
			wantError(t, err, test.want)
			if p != nil {
				t.Error("got a policy beside the error")
			}
		})
	}
}

// Each row changes one thing of a policy and evidence that fit, and names every refusal that follows.
func TestPolicyCheck(t *testing.T) {
	const dev = "83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e"
	tests := map[string]struct {
		policy  func(*attest.Policy)
		report  func(*attest.Report)
		binding func(*attest.Binding)
		want    []refusal
	}{
		"all fits": {},
		"debug build": {
			report: func(r *attest.Report) { r.Debug = true },
			want:   []refusal{{"builds[0].debug", "a production build", "a debug build", "set debug: true for this build"}},
		},
		"debug build, allowed": {
			report: func(r *attest.Report) { r.Debug = true },
			policy: func(p *attest.Policy) { p.Builds[0].Debug = true },
		},
		"debug allowed for another build": {
			report: func(r *attest.Report) { r.Debug = true },
			policy: func(p *attest.Policy) {
				p.Builds = append(p.Builds, attest.Build{TEE: "sgx", Debug: true, Measurements: map[string][]byte{"mrenclave": make([]byte, 32)}})
			},
			want: []refusal{{"builds[0].debug", "a production build", "a debug build", ""}},
		},
		"another build": {
			report: func(r *attest.Report) { r.Measurements["mrenclave"] = bytes.Repeat([]byte{0xcc}, 32) },
			want:   []refusal{{"builds[0].mrenclave", encl32, "cccc", "add a build: tee sgx, mrenclave cccc"}},
		},
		"measurement that the evidence lacks": {
			report: func(r *attest.Report) { delete(r.Measurements, "mrenclave") },
			want:   []refusal{{"builds[0].mrenclave", encl32, "none", ""}},
		},
		"another TEE": {
			report: func(r *attest.Report) { r.TEE = "tdx" },
			want:   []refusal{{"builds[0].tee", "sgx", "tdx", "add a build: tee tdx"}},
		},
		"sample signer, though the build is pinned": {
			report: func(r *attest.Report) { r.Measurements["mrsigner"] = unhex(dev) },
			want:   []refusal{{"builds[0].sample_signer", "a signing key of its own", "the published sample key of the Intel SGX SDK (mrsigner " + dev, "set sample_signer: true"}},
		},
		"sample signer, allowed": {
			report: func(r *attest.Report) { r.Measurements["mrsigner"] = unhex(dev) },
			policy: func(p *attest.Policy) { p.Builds[0].SampleSigner = true },
		},
		"another product": {
			report: func(r *attest.Report) { r.ISVProdID = 9 },
			want:   []refusal{{"builds[0].isvprodid", "1", "9", ""}},
		},
		"older security version": {
			report: func(r *attest.Report) { r.ISVSVN = 1 },
			want:   []refusal{{"builds[0].isvsvn", "2 or more", "1", "newer build"}},
		},
		"newer security version": {report: func(r *attest.Report) { r.ISVSVN = 3 }},
		"platform out of date": {
			report: func(r *attest.Report) {
				r.TCB.Status = attest.OutOfDate
				r.TCB.Shortfalls = []attest.Shortfall{{Component: "pcesvn", Have: 11, Want: 13}}
			},
			want: []refusal{{"tcb.accept", "UpToDate or SWHardeningNeeded", "OutOfDate (pcesvn is 11, not 13)", "list OutOfDate in tcb.accept"}},
		},
		"platform out of date, allowed": {
			report: func(r *attest.Report) { r.TCB.Status = attest.OutOfDate },
			policy: func(p *attest.Policy) { p.TCB.Accept = []attest.Status{attest.OutOfDate} },
		},
		"platform revoked": {
			report: func(r *attest.Report) { r.TCB.Status = attest.Revoked },
			want:   []refusal{{"tcb.accept", "not revoked", "Revoked", "no policy can accept"}},
		},
		"platform revoked, in a policy made by hand": {
			report: func(r *attest.Report) { r.TCB.Status = attest.Revoked },
			policy: func(p *attest.Policy) { p.TCB.Accept = []attest.Status{attest.Revoked} },
			want:   []refusal{{"tcb.accept", "not revoked", "Revoked", ""}},
		},
		"module revoked under a status that is accepted": {
			report: func(r *attest.Report) { r.TCB.Module = attest.Revoked },
			want:   []refusal{{"tcb.accept", "not revoked", "Revoked", ""}},
		},
		"no status": {
			report: func(r *attest.Report) { r.TCB.Status = "" },
			want:   []refusal{{"tcb.accept", "UpToDate", "none", ""}},
		},
		"no status, in a policy made by hand": {
			report: func(r *attest.Report) { r.TCB.Status = "" },
			policy: func(p *attest.Policy) { p.TCB.Accept = []attest.Status{""} },
			want:   []refusal{{"tcb.accept", "", "none", ""}},
		},
		"advisories, any": {report: func(r *attest.Report) { r.TCB.Advisories = []string{"INTEL-SA-00289"} }},
		"advisory, tolerated": {
			report: func(r *attest.Report) { r.TCB.Advisories = []string{"INTEL-SA-00615"} },
			policy: func(p *attest.Policy) { p.TCB.Advisories = []string{"INTEL-SA-00615"} },
		},
		"advisory, not tolerated": {
			report: func(r *attest.Report) { r.TCB.Advisories = []string{"INTEL-SA-00289", "INTEL-SA-00615"} },
			policy: func(p *attest.Policy) { p.TCB.Advisories = []string{"INTEL-SA-00615"} },
			want:   []refusal{{"tcb.advisories", "no advisory but INTEL-SA-00615", "INTEL-SA-00289", "list INTEL-SA-00289"}},
		},
		"advisory, none tolerated": {
			report: func(r *attest.Report) { r.TCB.Advisories = []string{"INTEL-SA-00289"} },
			policy: func(p *attest.Policy) { p.TCB.Advisories = []string{} },
			want:   []refusal{{"tcb.advisories", "no advisory but none", "INTEL-SA-00289", ""}},
		},
		"older judgement": {
			policy: func(p *attest.Policy) { p.TCB.EvaluationNumber = 18 },
			want:   []refusal{{"tcb.evaluation_number", "18 or more", "17", "newer collateral"}},
		},
		"simulated": {
			report: func(r *attest.Report) { r.Simulated = true },
			want:   []refusal{{"simulated_root", "genuine hardware", "simulated evidence", "for development only"}},
		},
		"simulated, allowed": {
			report: func(r *attest.Report) { r.Simulated = true },
			policy: func(p *attest.Policy) { p.SimulatedRoot = "root.pem" },
		},
		"another issuer": {
			binding: func(b *attest.Binding) { b.Issuer = "https://other.example.com" },
			want:    []refusal{{"issuer", issuer, "https://other.example.com", ""}},
		},
		"other rules": {
			binding: func(b *attest.Binding) { b.RulesDigest[0] = 0xff },
			want:    []refusal{{"rules", rules1, "sha256:ff", "add their digest"}},
		},
		"no rules": {
			binding: func(b *attest.Binding) { b.RulesDigest = [32]byte{} },
			want:    []refusal{{"rules", rules1, "none", ""}},
		},
		"another scheme": {
			binding: func(b *attest.Binding) { b.Scheme = attest.Original },
			want:    []refusal{{"scheme", "dice", "original", "set scheme: original"}},
		},
		"a policy without builds": {
			policy: func(p *attest.Policy) { p.Builds = nil },
			want:   []refusal{{"builds", "a build that the policy names", "no build", "name this build: tee sgx, mrenclave aaaa"}},
		},
		"everything at once": {
			report: func(r *attest.Report) {
				r.Debug, r.Simulated, r.TCB.Status = true, true, attest.OutOfDateConfigurationNeeded
				r.Measurements["mrsigner"] = unhex(dev)
			},
			binding: func(b *attest.Binding) { b.Issuer = "" },
			want: []refusal{
				{"builds[0].debug", "", "", ""}, {"builds[0].sample_signer", "", "", ""}, {"tcb.accept", "", "OutOfDateConfigurationNeeded", ""},
				{"simulated_root", "", "", ""}, {"issuer", "", "none", ""},
			},
		},
	}
	one, two := uint16(1), uint16(2)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := &attest.Policy{
				Builds: []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": unhex(encl32)}, ISVProdID: &one, ISVSVN: &two}},
				Issuer: issuer, Rules: []string{rules1},
			}
			r := newTEE().report
			b := binding()
			b.Scheme = attest.DICE
			apply(test.policy, p)
			apply(test.report, &r)
			apply(test.binding, &b)
			err := p.Check(&r, &b)
			wantRefusals(t, err, test.want)
		})
	}
}

// refusal is what a refusal must have in its parts; an empty one is anything.
type refusal struct{ key, want, got, fix string }

// wantRefusals holds that the error has these refusals, in their order, or that there is none.
func wantRefusals(t *testing.T, err error, want []refusal) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Fatalf("got %v, want acceptance", err)
		}
		return
	}
	var refused *attest.RefusalError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a RefusalError", err)
	}
	if len(refused.Refusals) != len(want) {
		t.Fatalf("got %v, want %v", refused.Refusals, want)
	}
	for i, want := range want {
		got := refused.Refusals[i]
		if got.Key != want.key || !strings.Contains(got.Want, want.want) || !strings.Contains(got.Got, want.got) || !strings.Contains(got.Fix, want.fix) || got.Fix == "" {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if !strings.Contains(err.Error(), want.key) {
			t.Errorf("error %q does not name %s", err, want.key)
		}
	}
}

func apply[T any](change func(*T), v *T) {
	if change != nil {
		change(v)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Of several builds the refusals are those of the nearest, and say so.
func TestPolicyCheckNearestBuild(t *testing.T) {
	p := made(attest.ParsePolicy([]byte(wholePolicy)))
	r := newTEE().report
	r.Measurements["mrenclave"] = make([]byte, 32)
	r.ISVSVN = 1 // builds[1] fits but for this
	b := binding()
	b.Scheme = attest.DICE
	err := p.Check(&r, &b)
	wantError(t, err, "none of 3 builds fits")
	var refused *attest.RefusalError
	if !errors.As(err, &refused) || refused.Builds != 3 || len(refused.Refusals) != 1 {
		t.Fatalf("got %v", err)
	}
}

// A bare quote binds nothing, so a policy that pins an issuer or rules refuses it, and no other does.
func TestPolicyCheckBareQuote(t *testing.T) {
	p := made(attest.ParsePolicy([]byte(wholePolicy)))
	r := newTEE().report
	wantError(t, p.Check(&r, nil), "issuer: got none")
	wantError(t, p.Check(&r, nil), "rules: got none")
	p.Issuer, p.Rules = "", nil
	if err := p.Check(&r, nil); err != nil {
		t.Error(err)
	}
}

func TestDefaultRefusals(t *testing.T) {
	r := newTEE().report
	if got := attest.DefaultRefusals(&r); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	r.Debug, r.Simulated, r.TCB.Status = true, true, attest.OutOfDate
	r.Measurements["mrsigner"] = unhex("9affcfae47b848ec2caf1c49b4b283531e1cc425f93582b36806e52a43d78d1a")
	var keys []string
	for _, refusal := range attest.DefaultRefusals(&r) {
		keys = append(keys, refusal.Key)
	}
	if got, want := strings.Join(keys, " "), "builds[].debug builds[].sample_signer tcb.accept simulated_root"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, seed := range []string{
		wholePolicy, "", "builds: [}", "builds:\n- tee: tdx\n  mrtd: " + hex48, `{"builds":[{"tee":"sgx","mrenclave":"` + encl32 + `"}]}`,
		"a: &x [*x]", "? a", "- - - -", "tcb: {accept: []}", "builds: !!map {}", "\"\\u0000\": 1", "a: |\n  b", "a: >\n  b" + strings.Repeat("\n", 300), "\t", "%YAML 1.2", "builds:\n- tee: sgx\n  isvsvn: 99999999999999999999",
		"builds: [{tee: tdx, mrtd: " + hex48 + ", xfam: e702060000000000}]\ntcb:\n  tolerate:\n  - status: OutOfDate\n    until: 9999-12-31\n    advisories: []\n",
		"tcb: {tolerate: [{status: Revoked, until: 0000-01-01T00:00:00-23:59}]}",
		snpPolicy, snpPolicy + "  guest_svn: 1\n  vmpl: 3\n  unchecked_revocation: true\n  guest_policy: 0000000000070000\n", snpPolicy + "tcb: {accept: []}", snpBuild + "  product: Turin\n  min_tcb: {fmc: 0, bootloader: 0, tee: 0, snp: 0, microcode: 256}",
		"builds: [{min_tcb: {tee: 3}, tee: sev-snp}]", "builds: [{tee: sev-snp, min_tcb: {min_tcb: {}}}]", "builds: [{tee: sgx, tee: nitro}]", "builds: [{tee: {tee: tee}}]",
		nitroPolicy, nitroPolicy + "  debug: true\n  pcr31: " + hex48, "builds: [{tee: nitro, pcr8: " + zero48 + "}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := attest.ParsePolicy(data)
		if (p == nil) == (err == nil) {
			t.Fatalf("got %v and %v", p, err)
		}
		if err != nil {
			return
		}
		// Whatever parses pins a build: no policy accepts any enclave.
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		if p.Check(&attest.Report{TEE: p.Builds[0].TEE, TCB: attest.TCB{Status: attest.UpToDate}}, nil) == nil {
			t.Fatalf("%q accepts evidence without measurements", data)
		}
		// Nor a revoked platform, nor any status at an instant that nobody knows unless it is accepted for good.
		r := attest.Report{TEE: p.Builds[0].TEE, Measurements: p.Builds[0].Measurements, ISVSVN: 0xffff}
		if r.TEE == tee.SEVSNP {
			most := tee.AMDTCB{FMC: 255, Bootloader: 255, TEE: 255, SNP: 255, Microcode: 255}
			r.AMD = &tee.AMDFacts{Product: p.Builds[0].Product, GuestSVN: ^uint32(0), Reported: most, Launch: most, RevocationChecked: true}
		}
		for _, s := range append([]attest.Status{attest.Revoked, ""}, tolerated(p)...) {
			if r.TCB.Status = s; p.Check(&r, nil) == nil {
				t.Fatalf("%q accepts %s", data, s)
			}
		}
	})
}

func tolerated(p *attest.Policy) (list []attest.Status) {
	for _, o := range p.TCB.Tolerate {
		list = append(list, o.Status)
	}
	return list
}
