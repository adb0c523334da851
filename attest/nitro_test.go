package attest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// enclave is the document of a Nitro Enclave that is fine in every way: its image is signed, its instance has a role.
func enclave() *attest.Report {
	r := &attest.Report{
		TEE: tee.NitroEnclave, At: day(3), TCB: attest.TCB{Status: tee.NotJudged}, Collateral: attest.Window{NotBefore: day(2), NotAfter: day(4)},
		Measurements: make(map[string][]byte), AWS: &tee.AWSFacts{ModuleID: "i-0123456789abcdef0-enc0123456789abcdef", Timestamp: day(3)},
	}
	for i := range 16 {
		r.Measurements[fmt.Sprintf("pcr%d", i)] = make([]byte, 48)
	}
	for _, i := range []int{0, 1, 2, 3, 4, 8} {
		r.Measurements[fmt.Sprintf("pcr%d", i)] = bytes.Repeat([]byte{0xaa}, 48)
	}
	return r
}

// inDebugMode is what the hypervisor makes of an enclave in debug mode.
func inDebugMode(r *attest.Report) {
	r.Debug = true
	for _, name := range []string{"pcr0", "pcr1", "pcr2", "pcr8"} {
		r.Measurements[name] = make([]byte, 48)
	}
}

const (
	zero48      = "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
	nitroPolicy = "builds:\n- tee: nitro\n  pcr0: " + hex48 + "\n"
)

func TestParsePolicyNitro(t *testing.T) {
	for _, i := range []int{0, 1, 2, 3, 4, 5, 8, 9, 15, 16, 31} {
		name := fmt.Sprintf("pcr%d", i)
		policy := "builds: [{tee: nitro, pcr8: " + hex48 + ", " + name + ": " + hex48 + ", debug: true}]"
		if i == 8 {
			policy = "builds: [{tee: nitro, pcr8: " + hex48 + ", debug: true}]"
		}
		p, err := attest.ParsePolicy([]byte(policy))
		if err != nil {
			t.Error(err)
		} else if got := p.Builds[0]; got.TEE != "nitro" || !got.Debug || !bytes.Equal(got.Measurements[name], unhex(hex48)) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestParsePolicyNitroRefuses(t *testing.T) {
	refuses(t, map[string]struct{ policy, want string }{
		"any enclave":                      {"builds:\n- tee: nitro\n", "line 2, column 3: builds[0]: any Nitro enclave would match; name its pcr0, or pcr8"},
		"any enclave of an image's kernel": {"builds: [{tee: nitro, pcr1: " + hex48 + ", pcr2: " + hex48 + "}]", "any Nitro enclave would match"},
		"images that nobody signed":        {"builds:\n- tee: nitro\n  pcr8: \"" + zero48 + "\"\n", "line 3, column 3: builds[0].pcr8: is zero, as of every image that is not signed; name the pcr0 of the image"},
		"a short register":                 {"builds: [{tee: nitro, pcr0: " + encl32 + "}]", "builds[0].pcr0: got 32 bytes, want 48 (96 hex digits)"},
		"a register too many":              {nitroPolicy + "  pcr32: " + hex48 + "\n", "line 4, column 3: builds[0].pcr32: is not a key of a policy; known here are debug, pcr0 to pcr31, tee"},
		"a register in capitals":           {nitroPolicy + "  PCR1: " + hex48 + "\n", "builds[0].PCR1: is not a key of a policy"},
		"a key of sgx":                     {nitroPolicy + "  isvsvn: 3\n", "line 4, column 3: builds[0].isvsvn: is of sgx, and this build is of nitro; remove it"},
		"a key of sgx, without effect":     {nitroPolicy + "  sample_signer: false\n", "builds[0].sample_signer: is of sgx, and this build is of nitro; remove it"},
		"a key of sev-snp":                 {nitroPolicy + "  min_tcb: {}\n", "builds[0].min_tcb: is of sev-snp, and this build is of nitro; remove it"},
		"a register in sgx":                {"builds: [{tee: sgx, mrenclave: " + encl32 + ", pcr0: " + hex48 + "}]", "builds[0].pcr0: is of nitro, and this build is of sgx; remove it"},
		"the name of its company":          {"builds: [{tee: aws-nitro, pcr0: " + hex48 + "}]", `builds[0].tee: got "aws-nitro", want sgx, tdx, sev-snp or nitro`},
		"statuses that nobody judges":      {nitroPolicy + "tcb: {accept: [UpToDate]}\n", "tcb.accept: has no effect"},
	})
}

// Each row changes one thing of a policy and a document that fit, and names every refusal that follows.
func TestPolicyCheckNitro(t *testing.T) {
	names := func(name, value string) func(*attest.Policy) {
		return func(p *attest.Policy) { p.Builds[0].Measurements[name] = unhex(value) }
	}
	tests := map[string]struct {
		policy func(*attest.Policy)
		report func(*attest.Report)
		want   []refusal
	}{
		"all fits": {},
		"another image": {
			report: func(r *attest.Report) { r.Measurements["pcr0"][0] ^= 1 },
			want:   []refusal{{"builds[0].pcr0", hex48, "abaa", "add a build: tee nitro, pcr0 abaa"}},
		},
		"an image of the signer's": {
			policy: func(p *attest.Policy) { p.Builds[0].Measurements = map[string][]byte{"pcr8": unhex(hex48)} },
			report: func(r *attest.Report) { r.Measurements["pcr0"][0] ^= 1 },
		},
		"an image of another signer's": {
			policy: names("pcr8", hex48),
			report: func(r *attest.Report) { r.Measurements["pcr8"][0] ^= 1 },
			want:   []refusal{{"builds[0].pcr8", hex48, "abaa", ""}},
		},
		"an instance of another role": {
			policy: names("pcr3", zero48),
			want:   []refusal{{"builds[0].pcr3", zero48, hex48, ""}},
		},
		"a register that the document lacks": {
			policy: names("pcr16", hex48),
			want:   []refusal{{"builds[0].pcr16", hex48, "none", ""}},
		},
		"a register that the enclave extended": {
			policy: names("pcr16", hex48),
			report: func(r *attest.Report) { r.Measurements["pcr16"] = unhex(hex48) },
		},
		"debug mode": {
			report: inDebugMode,
			want:   []refusal{{"builds[0].pcr0", hex48, zero48, ""}, {"builds[0].debug", "a production build", "a debug build", ""}},
		},
		"debug mode, its registers named": {
			policy: names("pcr0", zero48), report: inDebugMode,
			want: []refusal{{"builds[0].debug", "a production build", "a debug build", "set debug: true"}},
		},
		"debug mode, accepted": {
			policy: func(p *attest.Policy) { names("pcr0", zero48)(p); p.Builds[0].Debug = true }, report: inDebugMode,
		},
		"a status of Intel's": {
			report: func(r *attest.Report) { r.TCB.Status = attest.UpToDate },
			want:   []refusal{{"tcb.accept", "NotJudged", "UpToDate", "verifier"}},
		},
		"no status": {
			report: func(r *attest.Report) { r.TCB.Status = "" },
			want:   []refusal{{"tcb.accept", "NotJudged", "none", ""}},
		},
		"simulated": {
			report: func(r *attest.Report) { r.Simulated = true },
			want:   []refusal{{"simulated_root", "genuine hardware", "simulated evidence", ""}},
		},
		"simulated, allowed": {
			policy: func(p *attest.Policy) { p.SimulatedRoot = "root.pem" }, report: func(r *attest.Report) { r.Simulated = true },
		},
		"another TEE": {
			report: func(r *attest.Report) { *r = *milan() },
			want:   []refusal{{"builds[0].tee", "nitro", "sev-snp", "add a build: tee sev-snp, measurement aaaa"}},
		},
		"made in Go, with a level of sev-snp": {
			policy: func(p *attest.Policy) { p.Builds[0].VMPL = 1 },
			want:   []refusal{{"builds[0].vmpl", "a policy without faults", "is of sev-snp, and this build is of nitro", ""}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, r := made(attest.ParsePolicy([]byte(nitroPolicy))), enclave()
			apply(test.policy, p)
			apply(test.report, r)
			wantRefusals(t, p.Check(r, nil), test.want)
		})
	}
}

func TestPolicyWarningsNitro(t *testing.T) {
	for policy, want := range map[string]string{
		nitroPolicy:                                        "",
		nitroPolicy + "  pcr8: " + hex48 + "\n":            "",
		"builds: [{tee: nitro, pcr8: " + hex48 + "}]":      "builds[0]: pcr8 is the certificate that signs images",
		"builds: [{tee: nitro, pcr0: \"" + zero48 + "\"}]": "builds[0].pcr0: is zero, as of enclaves in debug mode alone",
		nitroPolicy + "  debug: true\n":                    "builds[0].debug: ",
		nitroPolicy + "simulated_root: root.pem\n":         "simulated_root: ",
	} {
		wantWarning(t, policy+"\nrules: [\""+rules1+"\"]\n", want)
	}
	got := made(attest.ParsePolicy([]byte("builds: [{tee: nitro, pcr0: \"" + zero48 + "\", debug: true}]\nrules: [\"" + rules1 + "\"]"))).Warnings(day(10))
	if len(got) != 2 || !strings.HasPrefix(got[0], "builds[0].pcr0: is zero, as of every enclave in debug mode") {
		t.Errorf("got %q", got)
	}
}

func TestPinNitro(t *testing.T) {
	for name, change := range map[string]func(*attest.Report){
		"sound":                      func(*attest.Report) {},
		"in debug mode":              inDebugMode,
		"simulated":                  func(r *attest.Report) { r.Simulated = true },
		"of an image without signer": func(r *attest.Report) { r.Measurements["pcr8"] = make([]byte, 48) },
		"that extended a register":   func(r *attest.Report) { r.Measurements["pcr17"] = bytes.Repeat([]byte{0x17}, 48) },
		"without AWS's facts":        func(r *attest.Report) { r.AWS = nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := enclave()
			change(r)
			holdsPin(t, r)
		})
	}
}

func TestPinNitroComments(t *testing.T) {
	r, b := enclave(), binding()
	b.Scheme = attest.DICE
	text := string(made(attest.Pin(r, &b, attest.PinConfig{})).Policy)
	for _, want := range []string{
		"AWS Nitro Enclave evidence that was verified at", "# Nitro security module i-0123456789abcdef0-enc0123456789abcdef; the document was made at\n# 2026-01-04T00:00:00Z.\n",
		"\n    pcr0: \"" + hex48 + "\"\n", "\n    pcr1: \"" + hex48 + "\"\n", "\n    pcr2: \"" + hex48 + "\"\n", "\n    # pcr3: \"" + hex48 + "\"\n", "\n    # pcr4: \"" + hex48 + "\"\n",
		"In place of pcr0: every image, also an older one, that is signed with the key of this certificate.", "\n    # pcr8: \"" + hex48 + "\"\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, odd := range []string{"tcb:\n", "evaluation_number", "pcr5", "pcr9"} {
		if strings.Contains(text, odd) {
			t.Errorf("%q in\n%s", odd, text)
		}
	}
	for name, change := range map[string]func(*attest.Report){
		"has no measurement to pin; want its pcr0": func(r *attest.Report) { delete(r.Measurements, "pcr0") },
		"builds[0].pcr0: got 32 bytes, want 48":    func(r *attest.Report) { r.Measurements["pcr0"] = make([]byte, 32) },
		"tcb.accept: got none, want NotJudged":     func(r *attest.Report) { r.TCB.Status = "" },
	} {
		r := enclave()
		change(r)
		_, err := attest.Pin(r, &b, attest.PinConfig{Accept: acceptAll})
		wantError(t, err, name)
	}
}
