package main

import (
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// printGuest writes what identifies a guest of SEV-SNP, and how it was launched.
func (x *finding) printGuest(w *report.Writer) {
	s, m := x.SNP, x.Measurements
	w.Row("measurement", digits(m["measurement"])...)
	w.Row("VMPL", vmplWords(s.VMPL))
	w.Row("guest SVN", fmt.Sprint(s.GuestSVN))
	w.Row("policy", m["guest_policy"]+": "+s.Policy.String())
	if agent := m["report_id_ma"]; s.Policy.MigrateMA {
		w.Check(report.Warn, "migration", "an agent may be bound to it, which can read the guest", "bound: "+orNoneSet(agent))
	} else {
		w.Row("migration", "no agent can be bound to it")
	}
	var unset []string
	for _, one := range []struct{ label, name string }{
		{"host data", "host_data"}, {"family id", "family_id"}, {"image id", "image_id"},
		{"id key", "id_key_digest"}, {"author key", "author_key_digest"}, {"report id", "report_id"},
	} {
		if value := m[one.name]; strings.Trim(value, "0") == "" {
			unset = append(unset, one.label)
		} else {
			w.Row(one.label, digits(value)...)
		}
	}
	if len(unset) > 0 {
		w.Row("zero", strings.Join(unset, ", "))
	}
}

// orNoneSet is an id, or "none" for one that is all ones, which is that of no agent.
func orNoneSet(id string) string {
	if strings.Trim(id, "f") == "" {
		return "none"
	}
	return id
}

// vmplWords says which software in the guest asked for the report.
func vmplWords(n uint32) string {
	if n == 0 {
		return "0: asked for by the most privileged software of the guest"
	}
	return fmt.Sprintf("%d: asked for below the most privileged software of the guest, which can read what asked", n)
}

// String names what the policy allows and demands.
func (p amdPolicyJSON) String() string {
	var words []string
	for _, one := range []struct {
		set  bool
		text string
	}{
		{p.Debug, "DEBUG allowed"}, {p.MigrateMA, "migration agent allowed"}, {p.SMT, "SMT allowed"}, {p.CXL, "CXL memory allowed"},
		{p.SingleSocket, "one socket only"}, {p.MemAES256XTS, "AES-256-XTS demanded"}, {p.RAPLDisabled, "no RAPL demanded"},
		{p.CiphertextHiding, "ciphertext hiding demanded"}, {p.PageSwapDisabled, "no page swapping"},
	} {
		if one.set {
			words = append(words, one.text)
		}
	}
	return strings.Join(append(words, fmt.Sprintf("firmware ABI %d.%d or newer", p.ABIMajor, p.ABIMinor)), ", ")
}

// printChip says on which processor the guest runs, and how up to date its parts are.
func (x *finding) printChip(w *report.Writer) {
	s := x.SNP
	w.Row("processor", productName(s.Product))
	w.Row("TCB status", "not judged: AMD publishes no levels, so a policy names the least of each component (min_tcb)")
	printAMDTCB(w, s)
	w.Row("machine", s.Platform.String())
	switch chip := x.Measurements["chip_id"]; {
	case chip == "" || strings.Trim(chip, "0") == "":
		w.Row("chip", "hidden by the host")
	default:
		w.Row("chip", digits(chip)...)
	}
	if s.SignedBy == kds.VLEK {
		w.Row("signed by", "a VLEK: a key of the cloud, which AMD certified for it; not of one chip")
	} else {
		w.Row("signed by", "the chip's VCEK, derived from the reported TCB")
	}
	if s.RevocationChecked {
		w.Row("revocation", "the CA of the key is not on AMD's list")
	} else {
		w.Check(report.Warn, "revocation", "not checked: there was no list of AMD's at hand")
		w.Fix("give --kds amd, which asks AMD for it, or --collateral FILE, which has it")
	}
	x.printCollateral(w)
}

// printAMDTCB writes the security version numbers of the platform's parts.
func printAMDTCB(w *report.Writer, s *snpJSON) {
	all := []amdTCBJSON{s.Reported, s.Current, s.Committed, s.Launch}
	row := func(name string, of func(amdTCBJSON) uint8) []string {
		cells := []string{name}
		for _, t := range all {
			cells = append(cells, fmt.Sprint(of(t)))
		}
		return cells
	}
	var rows [][]string
	if s.Reported.FMC != nil {
		rows = append(rows, row("fmc", func(t amdTCBJSON) uint8 { return *t.FMC }))
	}
	rows = append(rows,
		row("bootloader", func(t amdTCBJSON) uint8 { return t.Bootloader }), row("tee", func(t amdTCBJSON) uint8 { return t.TEE }),
		row("snp", func(t amdTCBJSON) uint8 { return t.SNP }), row("microcode", func(t amdTCBJSON) uint8 { return t.Microcode }))
	w.Table([]string{"", "reported", "current", "committed", "at launch"}, rows)
}

// String says how the machine was set up.
func (p amdPlatformJSON) String() string {
	text := func(set bool, yes, no string) string {
		if set {
			return yes
		}
		return no
	}
	words := []string{text(p.SMT, "SMT on", "SMT off"), text(p.ECC, "ECC memory", "no ECC memory"), text(p.TSME, "TSME on", "TSME off")}
	for _, one := range []struct {
		set  bool
		text string
	}{{p.RAPLDisabled, "RAPL off"}, {p.CiphertextHiding, "ciphertext hiding"}, {p.AliasCheckComplete, "memory aliases checked"}, {p.TIO, "trusted I/O"}} {
		if one.set {
			words = append(words, one.text)
		}
	}
	return strings.Join(words, ", ")
}

// productName says which processors AMD's name for a family stands for.
func productName(product string) string {
	switch product {
	case kds.Milan:
		return "Milan (EPYC 7003)"
	case kds.Genoa:
		return "Genoa (EPYC 9004 and 8004: Genoa, Bergamo, Siena)"
	case kds.Turin:
		return "Turin (EPYC 9005)"
	}
	return product
}
