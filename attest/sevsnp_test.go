package attest_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// milan is the report of an SEV-SNP guest that is fine in every way.
func milan() *attest.Report {
	tcb := tee.AMDTCB{Bootloader: 4, SNP: 24, Microcode: 219}
	return &attest.Report{
		TEE: tee.SEVSNP, At: day(3), TCB: attest.TCB{Status: tee.NotJudged}, Collateral: attest.Window{NotBefore: day(0), NotAfter: day(30)},
		Measurements: map[string][]byte{
			"measurement": bytes.Repeat([]byte{0xaa}, 48), "host_data": make([]byte, 32), "report_id": make([]byte, 32), "report_id_ma": bytes.Repeat([]byte{0xff}, 32),
			"id_key_digest": make([]byte, 48), "author_key_digest": make([]byte, 48), "family_id": make([]byte, 16), "image_id": make([]byte, 16),
			"chip_id": bytes.Repeat([]byte{0xcc}, 64), "guest_policy": unhex("0000000000030000"),
		},
		AMD: &tee.AMDFacts{
			Version: 3, Product: tee.Milan, SignedBy: "vcek", GuestSVN: 2, Policy: tee.AMDGuestPolicy{SMT: true},
			Reported: tcb, Current: tcb, Committed: tcb, Launch: tcb, RevocationChecked: true,
		},
	}
}

// snpBuild is a build that milan fits.
const snpBuild = "builds:\n- tee: sev-snp\n  measurement: " + hex48 + "\n"

const snpPolicy = snpBuild + "  product: Milan\n  min_tcb: {bootloader: 4, tee: 0, snp: 24, microcode: 219}\n"

func TestParsePolicySNP(t *testing.T) {
	const digits16, digits8 = "000102030405060708090a0b0c0d0e0f", "0001020304050607"
	got, err := attest.ParsePolicy([]byte(snpBuild + `  product: Turin
  min_tcb: {fmc: 1, bootloader: 2, tee: 3, snp: 4, microcode: 255}
  host_data: ` + encl32 + `
  id_key_digest: ` + hex48 + `
  author_key_digest: ` + hex48 + `
  family_id: ` + digits16 + `
  image_id: ` + digits16 + `
  chip_id: ` + encl32 + encl32 + `
  guest_policy: ` + digits8 + `
  guest_svn: 4294967295
  vmpl: 3
  debug: true
  unchecked_revocation: true
`))
	if err != nil {
		t.Fatal(err)
	}
	aa, svn := bytes.Repeat([]byte{0xaa}, 64), ^uint32(0)
	want := attest.Build{
		TEE: "sev-snp", Debug: true, UncheckedRevocation: true, VMPL: 3, GuestSVN: &svn, Product: "Turin",
		MinTCB: &tee.AMDTCB{FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 255},
		Measurements: map[string][]byte{
			"measurement": aa[:48], "host_data": aa[:32], "id_key_digest": aa[:48], "author_key_digest": aa[:48], "chip_id": aa,
			"family_id": unhex(digits16), "image_id": unhex(digits16), "guest_policy": unhex(digits8),
		},
	}
	if len(got.Builds) != 1 || !reflect.DeepEqual(got.Builds[0], want) {
		t.Errorf("got %+v, want %+v", got.Builds, want)
	}
}

func TestParsePolicySNPRefuses(t *testing.T) {
	const least = "  min_tcb: {bootloader: 4, tee: 0, snp: 24, microcode: 219}\n"
	const sgx = "builds:\n- tee: sgx\n  mrenclave: " + encl32 + "\n"
	refuses(t, map[string]struct{ policy, want string }{
		"any guest":                     {"builds:\n- tee: sev-snp\n" + least, "line 2, column 3: builds[0]: any sev-snp guest would match; name its measurement"},
		"no minimum":                    {snpBuild, "line 2, column 3: builds[0].min_tcb: is missing; give the least bootloader, tee, snp and microcode"},
		"an empty minimum":              {snpBuild + "  min_tcb: {}\n", "line 4, column 3: builds[0].min_tcb.bootloader: is missing; give the least that is accepted, 0 for any"},
		"a minimum without microcode":   {snpBuild + "  min_tcb: {bootloader: 4, tee: 0, snp: 24}\n", "line 4, column 3: builds[0].min_tcb.microcode: is missing"},
		"a minimum that is a number":    {snpBuild + "  min_tcb: 3\n", `line 4, column 3: builds[0].min_tcb: got "3", want keys and values`},
		"a component beyond a byte":     {snpBuild + "  min_tcb: {bootloader: 256}\n", `line 4, column 13: builds[0].min_tcb.bootloader: got "256", want a number from 0 to 255`},
		"a component below zero":        {snpBuild + "  min_tcb: {snp: -1}\n", `got "-1", want a number from 0 to 255`},
		"a component in hex":            {snpBuild + "  min_tcb: {snp: 0x18}\n", `got "0x18", want a number from 0 to 255`},
		"a component that AMD has not":  {snpBuild + "  min_tcb: {ucode: 3}\n", "builds[0].min_tcb.ucode: is not a key of a policy; known here are bootloader, fmc, microcode, snp, tee"},
		"a component twice":             {snpBuild + "  min_tcb: {snp: 3, snp: 4}\n", `mapping key "snp" already defined`},
		"a Turin without its fmc":       {snpBuild + "  product: Turin\n" + least, "line 5, column 3: builds[0].min_tcb.fmc: is missing; a Turin has one"},
		"a Milan with an fmc":           {snpBuild + "  product: Milan\n  min_tcb: {fmc: 1, bootloader: 4, tee: 0, snp: 24, microcode: 219}\n", "line 5, column 13: builds[0].min_tcb.fmc: a Milan has none; remove it"},
		"a family that nobody knows":    {snpBuild + "  product: milan\n" + least, `line 4, column 3: builds[0].product: got "milan", want one of Milan, Genoa, Turin`},
		"a level that no guest has":     {snpBuild + least + "  vmpl: 4\n", "line 5, column 3: builds[0].vmpl: got 4, want a number from 0 to 3"},
		"a level below zero":            {snpBuild + least + "  vmpl: -1\n", `builds[0].vmpl: got "-1", want a number`},
		"a short measurement":           {"builds: [{tee: sev-snp, measurement: " + encl32 + "}]", "builds[0].measurement: got 32 bytes, want 48 (96 hex digits)"},
		"a short guest policy":          {snpBuild + least + "  guest_policy: \"0x30000\"\n", "want hex digits without the 0x"},
		"a short chip":                  {snpBuild + least + "  chip_id: aabb\n", "builds[0].chip_id: got 2 bytes, want 64 (128 hex digits)"},
		"what no build can pin":         {snpBuild + least + "  report_id: " + encl32 + "\n", "line 5, column 3: builds[0].report_id: is not a key of a policy; known here are author_key_digest, chip_id, debug, family_id, guest_policy, guest_svn, host_data, id_key_digest, image_id, measurement, min_tcb, product, tee, unchecked_revocation, vmpl"},
		"unchecked revocation is a no":  {snpBuild + least + "  unchecked_revocation: no\n", `builds[0].unchecked_revocation: got "no", want true or false`},
		"a key of sgx":                  {snpBuild + least + "  isvsvn: 1\n", "line 5, column 3: builds[0].isvsvn: is of sgx, and this build is of sev-snp; remove it"},
		"a key of tdx":                  {snpBuild + least + "  rtmr1: " + hex48 + "\n", "builds[0].rtmr1: is of tdx, and this build is of sev-snp; remove it"},
		"its minimum in another build":  {sgx + least, "line 4, column 3: builds[0].min_tcb: is of sev-snp, and this build is of sgx; remove it"},
		"its level in another build":    {sgx + "  vmpl: 0\n", "line 4, column 3: builds[0].vmpl: is of sev-snp, and this build is of sgx; remove it"},
		"what has no effect, a no":      {sgx + "  unchecked_revocation: false\n", "builds[0].unchecked_revocation: is of sev-snp"},
		"statuses that nobody judges":   {snpPolicy + "tcb:\n  accept: [UpToDate]\n", "line 7, column 3: tcb.accept: has no effect: Intel alone judges how recent a platform is, and no build here is of sgx or tdx; remove it"},
		"a date for them":               {snpPolicy + "tcb: {tolerate: [{status: OutOfDate, until: 2027-01-31}]}\n", "tcb.tolerate: has no effect"},
		"advisories of nobody":          {snpPolicy + "tcb: {advisories: []}\n", "tcb.advisories: has no effect"},
		"a number that nobody gives":    {snpPolicy + "tcb: {evaluation_number: 17}\n", "line 6, column 7: tcb.evaluation_number: has no effect"},
		"a status that can't be listed": {snpPolicy + "tcb: {accept: [NotJudged]}\n", `tcb.accept[0]: got "NotJudged", want one of UpToDate`},
	})
}

// A policy of builds of several makers has Intel's judgement for Intel's, and for no other.
func TestPolicyOfSeveralTEEs(t *testing.T) {
	p := made(attest.ParsePolicy([]byte(snpPolicy + "- {tee: nitro, pcr0: " + hex48 + "}\n- {tee: sgx, mrenclave: " + encl32 + "}\ntcb: {accept: [UpToDate], advisories: [], evaluation_number: 17}\n")))
	intel := newTEE().report
	for _, r := range []*attest.Report{milan(), enclave(), &intel} {
		if err := p.Check(r, nil); err != nil {
			t.Errorf("%s: %v", r.TEE, err)
		}
	}
	intel.TCB.EvaluationNumber = 16
	wantError(t, p.Check(&intel, nil), "tcb.evaluation_number: got 16")
}

// Each row changes one thing of a policy and a report that fit, and names every refusal that follows.
func TestPolicyCheckSNP(t *testing.T) {
	build := func(change func(*attest.Build)) func(*attest.Policy) {
		return func(p *attest.Policy) { change(&p.Builds[0]) }
	}
	amd := func(change func(*tee.AMDFacts)) func(*attest.Report) {
		return func(r *attest.Report) { change(r.AMD) }
	}
	three := uint32(3)
	tests := map[string]struct {
		policy func(*attest.Policy)
		report func(*attest.Report)
		want   []refusal
	}{
		"all fits": {},
		"another measurement": {
			report: func(r *attest.Report) { r.Measurements["measurement"][0] ^= 1 },
			want:   []refusal{{"builds[0].measurement", hex48, "abaa", "add a build: tee sev-snp, measurement abaa"}},
		},
		"data of another host": {
			policy: build(func(b *attest.Build) { b.Measurements["host_data"] = bytes.Repeat([]byte{1}, 32) }),
			want:   []refusal{{"builds[0].host_data", "0101", "0000", ""}},
		},
		"microcode that is too old": {
			report: amd(func(a *tee.AMDFacts) { a.Reported.Microcode = 68 }),
			want:   []refusal{{"builds[0].min_tcb.microcode", "219 or more", "68, as the machine reports it", "update the machine's firmware and microcode, and commit the update; or lower min_tcb.microcode"}},
		},
		"a guest that was launched before the update": {
			report: amd(func(a *tee.AMDFacts) { a.Launch.SNP = 23 }),
			want:   []refusal{{"builds[0].min_tcb.snp", "24 or more", "23, when the guest was launched", "launch the guest anew"}},
		},
		"both": {
			report: amd(func(a *tee.AMDFacts) { a.Reported.Bootloader, a.Launch.Bootloader = 3, 2 }),
			want:   []refusal{{"builds[0].min_tcb.bootloader", "4 or more", "3, as the machine reports it, and 2, when the guest was launched", ""}},
		},
		"every component, each for itself": {
			policy: build(func(b *attest.Build) {
				b.Product, b.MinTCB = "", &tee.AMDTCB{FMC: 1, Bootloader: 5, TEE: 1, SNP: 25, Microcode: 220}
			}),
			want: []refusal{
				{"builds[0].min_tcb.fmc", "1 or more", "0", ""}, {"builds[0].min_tcb.bootloader", "5 or more", "4", ""}, {"builds[0].min_tcb.tee", "1 or more", "0", ""},
				{"builds[0].min_tcb.snp", "25 or more", "24", ""}, {"builds[0].min_tcb.microcode", "220 or more", "219", ""},
			},
		},
		"newer in one component does not make up for another": {
			report: amd(func(a *tee.AMDFacts) { a.Reported.Bootloader, a.Reported.SNP = 255, 23 }),
			want:   []refusal{{"builds[0].min_tcb.snp", "24 or more", "23", ""}},
		},
		"firmware that runs but is not reported does not count": {
			report: amd(func(a *tee.AMDFacts) { a.Current, a.Committed = tee.AMDTCB{}, tee.AMDTCB{} }),
		},
		"another family": {
			report: amd(func(a *tee.AMDFacts) { a.Product = tee.Genoa }),
			want:   []refusal{{"builds[0].product", "Milan", "Genoa", "min_tcb of its own"}},
		},
		"any family without an fmc": {
			policy: build(func(b *attest.Build) { b.Product = "" }), report: amd(func(a *tee.AMDFacts) { a.Product = tee.Genoa }),
		},
		"a Turin, where no fmc is named": {
			policy: build(func(b *attest.Build) { b.Product = "" }), report: amd(func(a *tee.AMDFacts) { a.Product, a.Reported.FMC, a.Launch.FMC = tee.Turin, 1, 1 }),
			want: []refusal{{"builds[0].min_tcb.fmc", "without an fmc", `1, of "Turin"`, "add a build for this family"}},
		},
		"a family that nobody knows": {
			policy: build(func(b *attest.Build) { b.Product = "" }), report: amd(func(a *tee.AMDFacts) { a.Product = "" }),
			want: []refusal{{"builds[0].min_tcb.fmc", "without an fmc", `0, of ""`, ""}},
		},
		"a Turin": {
			policy: build(func(b *attest.Build) { b.Product, b.MinTCB.FMC = tee.Turin, 1 }), report: amd(func(a *tee.AMDFacts) { a.Product, a.Reported.FMC, a.Launch.FMC = tee.Turin, 1, 1 }),
		},
		"a Turin whose fmc is 0, named": {
			policy: build(func(b *attest.Build) { b.Product = tee.Turin }), report: amd(func(a *tee.AMDFacts) { a.Product = tee.Turin }),
		},
		"a Turin whose fmc is too old": {
			policy: build(func(b *attest.Build) { b.Product, b.MinTCB.FMC = tee.Turin, 2 }), report: amd(func(a *tee.AMDFacts) { a.Product, a.Reported.FMC, a.Launch.FMC = tee.Turin, 1, 2 }),
			want: []refusal{{"builds[0].min_tcb.fmc", "2 or more", "1, as the machine reports it", ""}},
		},
		"an older guest": {
			policy: build(func(b *attest.Build) { b.GuestSVN = &three }),
			want:   []refusal{{"builds[0].guest_svn", "3 or more", "2", "run a newer build"}},
		},
		"a newer guest": {
			policy: build(func(b *attest.Build) { b.GuestSVN = &three }), report: amd(func(a *tee.AMDFacts) { a.GuestSVN = 4 }),
		},
		"asked for by less privileged software": {
			report: amd(func(a *tee.AMDFacts) { a.VMPL = 1 }),
			want:   []refusal{{"builds[0].vmpl", "VMPL 0, the most privileged level", "VMPL 1", "most privileged software"}},
		},
		"by the least that is accepted": {
			policy: build(func(b *attest.Build) { b.VMPL = 2 }), report: amd(func(a *tee.AMDFacts) { a.VMPL = 2 }),
		},
		"by less than is accepted": {
			policy: build(func(b *attest.Build) { b.VMPL = 2 }), report: amd(func(a *tee.AMDFacts) { a.VMPL = 3 }),
			want: []refusal{{"builds[0].vmpl", "VMPL 2 or a more privileged level", "VMPL 3", ""}},
		},
		"by the host": {
			policy: build(func(b *attest.Build) { b.VMPL = 3 }), report: amd(func(a *tee.AMDFacts) { a.VMPL = 0xffffffff }),
			want: []refusal{{"builds[0].vmpl", "VMPL 3", "the host asked for, and not the guest", ""}},
		},
		"a guest that its host can read": {
			report: func(r *attest.Report) { r.Debug = true },
			want:   []refusal{{"builds[0].debug", "a production build", "a debug build", "set debug: true"}},
		},
		"one whose policy is named, read all the same": {
			policy: build(func(b *attest.Build) { b.Measurements["guest_policy"] = unhex("00000000000b0000") }),
			report: func(r *attest.Report) { r.Debug, r.Measurements["guest_policy"] = true, unhex("00000000000b0000") },
			want:   []refusal{{"builds[0].debug", "", "", ""}},
		},
		"a guest that can be migrated": {
			report: func(r *attest.Report) { r.Measurements["guest_policy"] = unhex("0000000000070000") },
			want:   []refusal{{"builds[0].guest_policy", "can't be migrated", "0000000000070000, by which a migration agent that the host binds may have its memory", "without MIGRATE_MA"}},
		},
		"one whose policy is named": {
			policy: build(func(b *attest.Build) { b.Measurements["guest_policy"] = unhex("0000000000070000") }),
			report: func(r *attest.Report) { r.Measurements["guest_policy"] = unhex("0000000000070000") },
		},
		"a guest of which it can't be told": {
			report: func(r *attest.Report) { delete(r.Measurements, "guest_policy") },
			want:   []refusal{{"builds[0].guest_policy", "can't be migrated", "none", ""}},
		},
		"revocation that nobody checked": {
			report: amd(func(a *tee.AMDFacts) { a.RevocationChecked = false }),
			want:   []refusal{{"builds[0].unchecked_revocation", "not on AMD's revocation list", "without AMD's revocation list", "set unchecked_revocation: true"}},
		},
		"revocation that nobody checked, accepted": {
			policy: build(func(b *attest.Build) { b.UncheckedRevocation = true }), report: amd(func(a *tee.AMDFacts) { a.RevocationChecked = false }),
		},
		"a report without AMD's facts": {
			report: func(r *attest.Report) { r.AMD = nil },
			want:   []refusal{{"builds[0]", "all facts of AMD SEV-SNP", "leaves some out", "verifier"}},
		},
		"a status of Intel's": {
			report: func(r *attest.Report) { r.TCB.Status = attest.UpToDate },
			want:   []refusal{{"tcb.accept", "NotJudged", "UpToDate", "verifier"}},
		},
		"no status": {
			report: func(r *attest.Report) { r.TCB.Status = "" },
			want:   []refusal{{"tcb.accept", "NotJudged", "none", ""}},
		},
		"a revoked platform": {
			report: func(r *attest.Report) { r.TCB.Status = attest.Revoked },
			want:   []refusal{{"tcb.accept", "not revoked", "Revoked", "no policy can accept"}},
		},
		"simulated": {
			report: func(r *attest.Report) { r.Simulated = true },
			want:   []refusal{{"simulated_root", "genuine hardware", "simulated evidence", ""}},
		},
		"simulated, allowed": {
			policy: func(p *attest.Policy) { p.SimulatedRoot = "root.pem" }, report: func(r *attest.Report) { r.Simulated = true },
		},
		"advisories of whoever lists them": {report: func(r *attest.Report) { r.TCB.Advisories = []string{"AMD-SB-3015"} }},
		"made in Go, without a minimum": {
			policy: build(func(b *attest.Build) { b.MinTCB = nil }),
			want:   []refusal{{"builds[0].min_tcb", "a policy without faults", "is missing", "correct the policy"}},
		},
		"made in Go, with a key of sgx": {
			policy: build(func(b *attest.Build) { b.SampleSigner = true }),
			want:   []refusal{{"builds[0].sample_signer", "a policy without faults", "is of sgx, and this build is of sev-snp", ""}},
		},
		"made in Go, with a measurement of nobody": {
			policy: build(func(b *attest.Build) { b.Measurements["report_id"] = make([]byte, 32) }), report: func(r *attest.Report) { r.Measurements["report_id"] = make([]byte, 32) },
			want: []refusal{{"builds[0].report_id", "a policy without faults", "is not a key of a policy", ""}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, r := made(attest.ParsePolicy([]byte(snpPolicy))), milan()
			apply(test.policy, p)
			apply(test.report, r)
			wantRefusals(t, p.Check(r, nil), test.want)
		})
	}
}

// The nearest build is one of the same TEE, also where what is short is called tee.
func TestNearestBuildSNP(t *testing.T) {
	p := made(attest.ParsePolicy([]byte(nitroPolicy + strings.TrimPrefix(snpPolicy, "builds:\n"))))
	r := milan()
	p.Builds[1].MinTCB.TEE = 1
	wantRefusals(t, p.Check(r, nil), []refusal{{"builds[1].min_tcb.tee", "1 or more", "0, as the machine reports it, and 0, when the guest was launched", ""}})
}

// What a policy does not judge is accepted for no TEE whose maker does.
func TestNotJudged(t *testing.T) {
	for name, r := range map[string]*attest.Report{
		"sgx":     {TEE: "sgx", Measurements: map[string][]byte{"mrenclave": unhex(encl32)}},
		"tdx":     {TEE: "tdx", Measurements: map[string][]byte{"mrtd": unhex(hex48)}},
		"nothing": {},
		"another": {TEE: "trustzone"},
	} {
		r.TCB.Status = tee.NotJudged
		p := made(attest.ParsePolicy([]byte("builds: [{tee: sgx, mrenclave: " + encl32 + "}, {tee: tdx, mrtd: " + hex48 + "}]")))
		wantError(t, p.Check(r, nil), "tcb.accept: got NotJudged, want UpToDate or SWHardeningNeeded")
		p.TCB.Accept = []attest.Status{tee.NotJudged}
		if err := p.Check(r, nil); err == nil {
			t.Errorf("%s: accepted by a policy made in Go", name)
		}
		if got := attest.DefaultRefusals(r); !slices.ContainsFunc(got, func(r attest.Refusal) bool { return r.Key == "tcb.accept" }) {
			t.Errorf("%s: by default got %v", name, got)
		}
	}
}

func TestDefaultRefusalsSNP(t *testing.T) {
	if got := attest.DefaultRefusals(milan()); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	r := milan()
	r.Debug, r.Simulated, r.TCB.Status = true, true, ""
	r.AMD.VMPL, r.AMD.RevocationChecked = 1, false
	r.Measurements["guest_policy"] = unhex("00000000000f0000")
	if got, want := names(attest.DefaultRefusals(r)), "guest_policy vmpl unchecked_revocation debug tcb.accept simulated_root"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPolicyWarningsSNP(t *testing.T) {
	for policy, want := range map[string]string{
		snpPolicy:                      "",
		snpPolicy + "  guest_svn: 3\n": "builds[0].guest_svn: is from the ID block",
		snpPolicy + "  image_id: " + strings.Repeat("ab", 16) + "\n":                          "builds[0].image_id: is from the ID block",
		snpPolicy + "  guest_svn: 3\n  author_key_digest: " + strings.Repeat("ab", 48) + "\n": "",
		snpPolicy + "  vmpl: 2\n":                                               "builds[0].vmpl: evidence is accepted that was asked for at privilege level 2",
		snpPolicy + "  debug: true\n":                                           "builds[0].debug: ",
		snpPolicy + "simulated_root: root.pem\n":                                "simulated_root: ",
		snpPolicy + "  unchecked_revocation: true\n":                            "builds[0].unchecked_revocation: ",
		snpPolicy + "  guest_policy: \"0000000000030000\"\n":                    "",
		snpPolicy + "  guest_policy: \"0000000000070000\"\n":                    "builds[0].guest_policy: a guest is accepted that can be migrated: a migration agent",
		snpBuild + "  min_tcb: {bootloader: 4, tee: 0, snp: 0, microcode: 0}\n": "builds[0].product: is missing",
		snpBuild + "  min_tcb: {bootloader: 0, tee: 0, snp: 0, microcode: 0}\n": "builds[0].min_tcb: firmware of any age is accepted",
	} {
		wantWarning(t, policy+"rules: [\""+rules1+"\"]\n", want)
	}
}

// wantWarning holds that a policy has this warning and no other, or none.
func wantWarning(t *testing.T, policy, want string) {
	t.Helper()
	got := made(attest.ParsePolicy([]byte(policy))).Warnings(day(10))
	if want == "" && len(got) == 0 || len(got) == 1 && want != "" && strings.HasPrefix(got[0], want) {
		return
	}
	t.Errorf("%s: got %q, want %q", policy, got, want)
}

func TestPinSNP(t *testing.T) {
	for name, change := range map[string]func(*attest.Report){
		"sound":                           func(*attest.Report) {},
		"debug":                           func(r *attest.Report) { r.Debug = true },
		"migratable":                      func(r *attest.Report) { r.Measurements["guest_policy"] = unhex("0000000000070000") },
		"asked for at another level":      func(r *attest.Report) { r.AMD.VMPL = 2 },
		"of unchecked revocation":         func(r *attest.Report) { r.AMD.RevocationChecked = false },
		"simulated":                       func(r *attest.Report) { r.Simulated = true },
		"launched before the last update": func(r *attest.Report) { r.AMD.Launch.SNP = 8 },
		"reported below what it began as": func(r *attest.Report) { r.AMD.Reported.SNP = 8 },
		"of a Turin":                      func(r *attest.Report) { r.AMD.Product, r.AMD.Reported.FMC, r.AMD.Launch.FMC = tee.Turin, 2, 1 },
		"of a Turin whose fmc is 0":       func(r *attest.Report) { r.AMD.Product = tee.Turin },
		"with an ID block":                func(r *attest.Report) { r.Measurements["id_key_digest"][0], r.Measurements["image_id"][0] = 1, 2 },
		"of a cloud that hides its chips": func(r *attest.Report) { r.AMD.SignedBy, r.Measurements["chip_id"] = "vlek", make([]byte, 64) },
		"of a guest that has no version":  func(r *attest.Report) { r.AMD.GuestSVN = 0 },
		"refused for everything at a time": func(r *attest.Report) {
			r.Debug, r.Simulated, r.AMD.VMPL, r.AMD.RevocationChecked = true, true, 3, false
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := milan()
			change(r)
			holdsPin(t, r)
		})
	}
}

func TestPinSNPComments(t *testing.T) {
	r, b := milan(), binding()
	b.Scheme = attest.DICE
	r.AMD.Launch.SNP, r.AMD.RevocationChecked = 23, false
	text := string(made(attest.Pin(r, &b, attest.PinConfig{})).Policy)
	for _, want := range []string{
		"AMD SEV-SNP evidence that was verified at", "# Platform: Milan; report version 3, signed by a VCEK.\n",
		"#   TCB that it reports: bootloader 4, tee 0, snp 24, microcode 219\n", "#   TCB when the guest was launched: bootloader 4, tee 0, snp 23, microcode 219\n",
		"#   Guest policy: firmware ABI 0.0 or newer, SMT allowed\n",
		"\n    measurement: \"" + hex48 + "\"\n", "\n    guest_policy: \"0000000000030000\"\n", "\n    # chip_id: \"cccc",
		"\n    product: \"Milan\"\n", "\n    min_tcb: {bootloader: 4, tee: 0, snp: 23, microcode: 219}\n", "\n    guest_svn: 2\n",
		"REFUSED unless you put the next line into force. It is evidence that was judged without AMD's revocation\n    # list.\n    # unchecked_revocation: true\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, odd := range []string{"tcb:\n", "evaluation_number", "family_id", "vmpl"} {
		if strings.Contains(text, odd) {
			t.Errorf("%q in\n%s", odd, text)
		}
	}
}

func TestPinSNPRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*attest.Report)
		want   string
	}{
		"no measurement":             {func(r *attest.Report) { delete(r.Measurements, "measurement") }, `evidence of "sev-snp" has no measurement to pin; want its measurement`},
		"no facts of AMD":            {func(r *attest.Report) { r.AMD = nil }, "the report leaves out some facts of AMD SEV-SNP"},
		"a family that nobody knows": {func(r *attest.Report) { r.AMD.Product = "Venice" }, `builds[0].product: got "Venice"`},
		"no family":                  {func(r *attest.Report) { r.AMD.Product = "" }, "builds[0].product: is empty"},
		"a status of Intel's":        {func(r *attest.Report) { r.TCB.Status = attest.UpToDate }, "tcb.accept: got UpToDate, want NotJudged"},
		"a revoked platform":         {func(r *attest.Report) { r.TCB.Status = attest.Revoked }, "the platform is revoked"},
		"a level that no guest has":  {func(r *attest.Report) { r.AMD.VMPL = 0xffffffff }, "builds[0].vmpl: got 4294967295"},
		"no guest policy":            {func(r *attest.Report) { delete(r.Measurements, "guest_policy") }, "builds[0].guest_policy"},
	} {
		t.Run(name, func(t *testing.T) {
			r, b := milan(), binding()
			b.Scheme = attest.DICE
			test.change(r)
			got, err := attest.Pin(r, &b, attest.PinConfig{Accept: acceptAll})
			wantError(t, err, test.want)
			if got != nil {
				t.Errorf("got a policy beside the error:\n%s", got.Policy)
			}
		})
	}
}

func BenchmarkParsePolicy(b *testing.B) {
	var most strings.Builder
	most.WriteString("builds:\n")
	for i := range 500 { // near the greatest number of tokens
		fmt.Fprintf(&most, "- {tee: sev-snp, measurement: \"%096x\", min_tcb: {bootloader: 4, tee: 0, snp: 24, microcode: 219}}\n", i)
	}
	for name, policy := range map[string]string{"one build/ours": snpPolicy, "several TEEs/ours": wholePolicy, "500 builds/ours": most.String()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(policy)))
			for b.Loop() {
				if _, err := attest.ParsePolicy([]byte(policy)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
