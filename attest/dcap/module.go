package dcap

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// moduleIdentity says which TDX modules are Intel's (Intel PCS API v4, "TCB Info V3", tdxModule and
// tdxModuleIdentities). The one of the major version 0, tdxModule, has no id and no levels.
type moduleIdentity struct {
	id             string // "TDX_" and the major version in two hex digits
	mrsigner       [48]byte
	attributes     [8]byte
	attributesMask [8]byte
	levels         isvLevels
}

var (
	moduleNames         = names{required: []string{"mrsigner", "attributes", "attributesMask"}}
	moduleIdentityNames = names{required: []string{"id", "mrsigner", "attributes", "attributesMask", "tcbLevels"}}
)

func (m *moduleIdentity) read(d *document, n names) error {
	return d.object(n, func(name string) (err error) {
		switch name {
		case "id":
			m.id, err = d.str()
		case "mrsigner":
			err = d.hex(m.mrsigner[:])
		case "attributes":
			err = d.hex(m.attributes[:])
		case "attributesMask":
			err = d.hex(m.attributesMask[:])
		case "tcbLevels":
			err = m.levels.read(d)
		}
		return err
	})
}

// readModules reads tdxModuleIdentities, in which an id may come once only.
func (t *tcbInfo) readModules(d *document) error {
	err := d.array(func(int) error {
		m := new(moduleIdentity)
		if err := m.read(d, moduleIdentityNames); err != nil {
			return err
		}
		if t.moduleNamed(m.id) != nil {
			return in("id", fmt.Errorf("got %q twice", m.id))
		}
		t.modules = append(t.modules, m)
		return nil
	})
	if err == nil && len(t.modules) == 0 {
		err = errors.New("it is empty")
	}
	return err
}

// moduleNamed returns the identity with an id, of either case as in Intel's library, or nil.
func (t *tcbInfo) moduleNamed(id string) *moduleIdentity {
	for _, m := range t.modules {
		if strings.EqualFold(m.id, id) {
			return m
		}
	}
	return nil
}

// moduleOf returns the identity of modules with a major version.
func (t *tcbInfo) moduleOf(major uint8) (*moduleIdentity, error) {
	if major == 0 {
		return t.module, nil
	}
	id := fmt.Sprintf("TDX_%02X", major)
	if m := t.moduleNamed(id); m != nil {
		return m, nil
	}
	var got []string
	for _, m := range t.modules {
		got = append(got, m.id)
	}
	if got == nil {
		got = []string{"none"}
	}
	return nil, fmt.Errorf("TCB info: tdxModuleIdentities: got %s, want %s, since TEE_TCB_SVN[1], the major version of the TDX module, is %d",
		strings.Join(got, ", "), id, major)
}

// match checks that the module which launched the trust domain is Intel's (TDX DCAP Quote Verification Library, steps 4.1.2.4.11.1 and
// 4.1.2.4.11.2). Beside the identity's own values, its attributes must be zero, as they are in production.
func (m *moduleIdentity) match(td *TDReport) error {
	name := cmp.Or(m.id, "tdxModule")
	got, want := td.SEAMAttributes, m.attributes
	mask(got[:], m.attributesMask[:])
	mask(want[:], m.attributesMask[:])
	switch {
	case td.MRSIGNERSEAM != m.mrsigner:
		return fmt.Errorf("TDX module: mrsignerseam: got %x, want %x as in the TCB info's %s", td.MRSIGNERSEAM, m.mrsigner, name)
	case got != want:
		return fmt.Errorf("TDX module: seam_attributes: got %x, want %x by the mask %x as in the TCB info's %s", td.SEAMAttributes, want, m.attributesMask, name)
	case td.SEAMAttributes != [8]byte{}:
		return fmt.Errorf("TDX module: seam_attributes: got %x, want zero, as a module in production has it", td.SEAMAttributes)
	}
	return nil
}

// judgeModule judges the module that launched the trust domain by TEE_TCB_SVN (steps 4.1.2.4.11 and
// 4.1.2.4.17.4.1). It returns nil for the major version 0, which is a component of the platform's levels.
func (t *tcbInfo) judgeModule(td *TDReport) (*part, error) {
	minor, major := uint16(td.TEETCBSVN[0]), td.TEETCBSVN[1]
	m, err := t.moduleOf(major)
	if err != nil {
		return nil, err
	}
	if err := m.match(td); err != nil {
		return nil, err
	}
	if major == 0 {
		return nil, nil
	}
	reached := m.levels.reached(minor)
	if reached == nil {
		return nil, fmt.Errorf("TCB info: %s: the TDX module reaches none of the %d levels: TEE_TCB_SVN[0], its isvsvn, is %d, and the lowest wants %d",
			m.id, len(m.levels), minor, m.levels.lowest())
	}
	p := m.levels.judge(tee.PartModule, "module.isvsvn", minor, reached)
	return &p, nil
}

// relaunch tells whether the module that runs now is as new as can be, though that which launched the trust domain
// is not: with TDX 1.5 a module is replaced under running trust domains (step 4.1.2.4.17.4.3, the check for a relaunch). The
// quoted state was built by the old one, so its status stays; the owner is told that a new launch is enough.
func (t *tcbInfo) relaunch(td *TDReport) bool {
	if !td.TDX15 || td.TEETCBSVN2 == td.TEETCBSVN {
		return false
	}
	minor, major, microcode := td.TEETCBSVN2[0], td.TEETCBSVN2[1], td.TEETCBSVN2[2]
	newest := &t.levels[0]
	want := uint16(newest.tdx[0])
	if major > 0 {
		m := t.moduleNamed(fmt.Sprintf("TDX_%02X", major))
		if m == nil {
			return false
		}
		want = m.levels[0].isvSVN
	}
	return uint16(minor) >= want && microcode >= newest.tdx[2]
}
