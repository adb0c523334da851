package simulated

import (
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Variant is one state of a platform, and what a correct verifier that trusts
// the platform's root says of it at Config.Now.
type Variant struct {
	Name   string // such as "status OutOfDate", "tdx v5 status UpToDate, module Revoked" or "v4 fault pck-revoked"
	Config Config // Seed and Now are the user's to set

	Genuine bool    // false: it must be refused, and nothing below has a meaning
	TCB     tee.TCB // without Shortfalls and Remedies
	PCKCA   string
	Debug   bool
}

// kinds are the forms of evidence. The name of a variant begins with that of its kind; the first has none.
var kinds = []struct {
	name   string
	config Config
}{
	{"", Config{}},
	{"v4 ", Config{QuoteVersion: 4}},
	{"v5 ", Config{QuoteVersion: 5}},
	{"tdx ", Config{TEE: "tdx"}},
	{"tdx v5 ", Config{TEE: "tdx", QuoteVersion: 5}},
	{"tdx v5 TD 1.5 ", Config{TEE: "tdx", QuoteVersion: 5, TD15: true}},
}

// Variants returns all of them, some hundreds: the sound platforms first, of SGX (quote version 3, then 4 and 5) and of TDX
// (version 4, then 5 with the reports of TDX 1.0 and 1.5), then those with a fault.
func Variants() []Variant {
	var all []Variant
	for _, k := range kinds {
		all = append(all, statusVariants(k.name, k.config)...)
		all = append(all, otherVariants(k.name, k.config)...)
	}
	all = append(all, tcbInfoVariants()...)
	all = append(all, moduleVariants()...)
	for _, k := range kinds {
		all = append(all, faultVariants(k.name, k.config)...)
	}
	return all
}

// statusVariants are every status of the platform with every one of the TDX module and of the quoting enclave;
// for the kinds that are but another layout of the same facts, every status with all else up to date.
func statusVariants(kind string, c Config) []Variant {
	moduleStatuses := partStatuses
	if c.TEE != "tdx" {
		moduleStatuses = []tee.Status{""}
	}
	var all []Variant
	for _, p := range converged {
		for m, module := range moduleStatuses {
			for q, qe := range partStatuses {
				if worse := m + q; c.QuoteVersion != 0 && (worse > 2 || worse > 0 && p.platform != tee.UpToDate) {
					continue
				}
				c.Status, c.ModuleStatus, c.QEStatus = p.platform, module, qe
				v := sound(kind+"status "+string(p.platform), c)
				v.TCB = judged(p.platform, module, qe)
				v.TCB.Status = [3]tee.Status{p.platform, p.outdated, tee.Revoked}[outcome[m][q]]
				if c.TEE == "" {
					v.TCB.Advisories = advisories[p.platform][q]
				}
				if m > 0 {
					v.Name += ", module " + string(module)
				}
				if q > 0 {
					v.Name += ", QE " + string(qe)
				}
				all = append(all, v)
			}
		}
	}
	return all
}

// otherVariants are up to date, and differ in other ways.
func otherVariants(kind string, c Config) []Variant {
	with := func(name string, change func(*Config)) Variant {
		changed := c
		change(&changed)
		return sound(kind+name, changed)
	}
	processor := with("processor CA", func(c *Config) { c.CA = "processor" })
	processor.PCKCA = "processor"
	debug := with("debug", func(c *Config) { c.Debug = true })
	debug.Debug = true
	all := []Variant{processor, debug}
	if kind != "" {
		all = append(all, with("padded", func(c *Config) { c.Padding = 70 }))
	}
	if kind == "" {
		for _, s := range SampleSigners() {
			all = append(all, with("sample signer of "+s.Name, func(c *Config) { c.MRSIGNER = s.MRSIGNER }))
		}
	}
	return all
}

// tcbInfoVariants have TCB info of version 2, as PCS API v3 has it.
func tcbInfoVariants() []Variant {
	var all []Variant
	for _, p := range converged {
		v := sound("tcb info v2 status "+string(p.platform), Config{TCBInfoVersion: 2, Status: p.platform})
		v.TCB = judged(p.platform, "", tee.UpToDate)
		all = append(all, v)
	}
	return all
}

// moduleVariants are TDX platforms with other generations of the module than the first that has an identity,
// and those whose components of TDX are not those of their level.
func moduleVariants() []Variant {
	var all []Variant
	add := func(name string, c Config, status tee.Status, tcb tee.TCB) {
		c.TEE = "tdx"
		v := sound("tdx "+name, c)
		v.TCB, v.TCB.Status = tcb, status
		all = append(all, v)
	}
	for i, m := range partStatuses {
		for j, qe := range partStatuses {
			status := [3]tee.Status{tee.UpToDate, tee.OutOfDate, tee.Revoked}[outcome[i][j]]
			add("TDX_03 module "+string(m)+", QE "+string(qe), Config{Module: "TDX_03", ModuleStatus: m, QEStatus: qe},
				status, judged(tee.UpToDate, m, qe))
		}
	}
	for _, p := range converged {
		for i, qe := range partStatuses {
			status := [3]tee.Status{p.platform, p.outdated, tee.Revoked}[i]
			add("TDX_00 status "+string(p.platform)+", QE "+string(qe), Config{Module: firstModule, Status: p.platform, QEStatus: qe},
				status, judged(p.platform, "", qe))
		}
	}
	for _, p := range converged {
		level := lowered[p.platform]
		add("microcode out of date, else "+string(p.platform), Config{Status: p.platform, TDXOutOfDate: true},
			level, judged(level, tee.UpToDate, tee.UpToDate))
	}
	// Intel's library calls this TDRelaunchAdvised: out of date, and a restart of the domain is all that it needs.
	add("v5 TD 1.5 module OutOfDate, replaced since", Config{QuoteVersion: 5, TD15: true, ModuleStatus: tee.OutOfDate, ModuleReplaced: true},
		tee.OutOfDate, judged(tee.UpToDate, tee.OutOfDate, tee.UpToDate))
	return all
}

// faultVariants are every fault of SGX with quote version 3 and of TDX with version 4;
// for the other kinds those of their layout.
func faultVariants(kind string, c Config) []Variant {
	var all []Variant
	for _, group := range faults {
		if c.QuoteVersion != 0 && !group.layout {
			continue
		}
		for _, s := range group.spoils {
			if s.fault.Fits(c) {
				spoiled := c
				spoiled.Fault = s.fault
				all = append(all, Variant{Name: kind + "fault " + string(s.fault), Config: spoiled})
			}
		}
	}
	return all
}

// sound is a genuine variant, up to date in all its parts.
func sound(name string, c Config) Variant {
	v := Variant{Name: name, Config: c, Genuine: true, PCKCA: "platform", TCB: judged(tee.UpToDate, "", tee.UpToDate)}
	if c.TEE == "tdx" {
		v.TCB = judged(tee.UpToDate, tee.UpToDate, tee.UpToDate)
	}
	return v
}

// judged is what the documents say of each part; no module if its status is empty. The
// status of all is that of the platform, unless the caller knows better.
func judged(platform, module, qe tee.Status) tee.TCB {
	t := tee.TCB{Status: platform, Platform: platform, Module: module, QE: qe, EvaluationNumber: EvaluationNumber}
	for _, l := range levels {
		if l.status == platform {
			t.Levels = append(t.Levels, reached(tee.PartPlatform, partLevel{l.status, 0, l.date, l.advisories}))
		}
	}
	for _, l := range modules[0].levels { // those of the other generation say the same
		if l.status == module {
			t.Levels = append(t.Levels, reached(tee.PartModule, l))
		}
	}
	for _, l := range qeLevels {
		if l.status == qe {
			t.Levels = append(t.Levels, reached(tee.PartQE, l))
		}
	}
	for _, l := range t.Levels {
		t.Advisories = append(t.Advisories, l.Advisories...)
	}
	slices.Sort(t.Advisories)
	t.Advisories = slices.Compact(t.Advisories)
	return t
}

func reached(part string, l partLevel) tee.Level {
	date, err := time.Parse(time.RFC3339, l.date)
	if err != nil {
		panic("simulated: not a date: " + l.date) // a literal of svn.go
	}
	return tee.Level{Part: part, Status: l.status, Date: date, Advisories: slices.Sorted(slices.Values(l.advisories))}
}
