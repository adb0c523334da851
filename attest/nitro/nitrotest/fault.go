package nitrotest

import "slices"

// A Fault is one thing that is wrong with documents. A document with any of them is not genuine: a verifier must
// refuse it at the instant it was made, though it has the root.
type Fault string

// spoil says what a fault changes in a plan.
type spoil struct {
	fault Fault
	apply func(*Module, *plan)
}

// spoils are all faults, in the order in which a verifier may find them.
func spoils() []spoil {
	return slices.Concat(coseFaults(), memberFaults(), certificateFaults())
}

// Faults returns all faults.
func Faults() []Fault {
	var all []Fault
	for _, s := range spoils() {
		all = append(all, s.fault)
	}
	return all
}

// spoil applies the configured fault.
func (m *Module) spoil(p *plan) {
	for _, s := range spoils() {
		if s.fault == m.config.Fault {
			s.apply(m, p)
		}
	}
}
