package simulated

import "fmt"

// A Fault is one thing that is wrong with the evidence of a platform. Evidence
// with any of them is not genuine: a verifier must refuse it at Config.Now.
type Fault string

// spoil says what a fault changes in a plan.
type spoil struct {
	fault Fault
	apply func(*plan)
}

// faults are all of them, with the evidence that can have them.
var faults = []struct {
	of     string // what the evidence must be
	fits   func(*plan) bool
	layout bool // they touch the layout of the quote, which differs between versions
	spoils []spoil
}{
	{"any", func(*plan) bool { return true }, false, certificateFaults},
	{"any", func(*plan) bool { return true }, false, judgementFaults},
	{"any", func(*plan) bool { return true }, true, quoteFaults},
	{"SGX", func(p *plan) bool { return p.tee == "sgx" }, false, sgxFaults},
	{"TDX", func(p *plan) bool { return p.tee == "tdx" }, false, tdxFaults},
	{"quote version 4 and later", func(p *plan) bool { return p.layout >= 4 }, true, nestedFaults},
	{"quote version 5", func(p *plan) bool { return p.layout == 5 }, true, bodyFaults},
}

// Faults returns all faults. Some are of SGX or TDX alone, or of some versions of quotes; see [Fault.Fits].
func Faults() []Fault {
	var all []Fault
	for _, group := range faults {
		for _, s := range group.spoils {
			all = append(all, s.fault)
		}
	}
	return all
}

// Fits tells whether the evidence of a platform can have the fault.
func (f Fault) Fits(c Config) bool {
	c.Fault = f
	c, err := c.settle()
	if err != nil {
		return false
	}
	_, err = newPlan(c, collateralLife(c.Now))
	return err == nil
}

func (f Fault) apply(p *plan) error {
	if f == "" {
		return nil
	}
	for _, group := range faults {
		for _, s := range group.spoils {
			if s.fault != f {
				continue
			}
			if !group.fits(p) {
				return fmt.Errorf("fault %s: got %s with quote version %d, want %s", f, p.tee, p.layout, group.of)
			}
			s.apply(p)
			return nil
		}
	}
	return fmt.Errorf("fault: got %q, want one of Faults()", string(f))
}
