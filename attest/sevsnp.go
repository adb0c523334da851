package attest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// products are the families of processors that a build can name.
var products = []string{tee.Milan, tee.Genoa, tee.Turin}

// maxVMPL is the least privileged level of a guest. A host that asks for a report itself has 0xffffffff in its place.
const maxVMPL = 3

// hasFMC tells whether the TCB of a family has an FMC. Of a family that nobody knows it is taken to
// have one: a build that says nothing of it then accepts none.
func hasFMC(product string) bool { return product != tee.Milan && product != tee.Genoa }

// soundSNP tells whether a build says how recent its platform must be. Nothing else would, since AMD judges none.
func soundSNP(b *Build, key string) error {
	switch {
	case b.MinTCB == nil:
		return faultf(key+".min_tcb", "is missing; give the least bootloader, tee, snp and microcode that are accepted, since AMD publishes no judgement of platforms (ctb policy new writes those of a machine)")
	case b.Product != "" && !slices.Contains(products, b.Product):
		return faultf(key+".product", "got %q, want one of %s", clip(b.Product), strings.Join(products, ", "))
	case b.MinTCB.FMC > 0 && !hasFMC(b.Product):
		return faultf(key+".min_tcb.fmc", "a %s has none; remove it", b.Product)
	case b.VMPL > maxVMPL:
		return faultf(key+".vmpl", "got %d, want a number from 0 to %d", b.VMPL, maxVMPL)
	}
	return nil
}

// checkAMD compares what only a report of SEV-SNP has with what the build names.
func (b *Build) checkAMD(r *Report, key string) []Refusal {
	if b.MinTCB == nil {
		return nil // no sound build
	}
	var refusals []Refusal
	if b.Product != "" && r.AMD.Product != b.Product {
		refusals = append(refusals, Refusal{
			Key: key + ".product", Want: b.Product, Got: orNone(clip(r.AMD.Product)),
			Fix: "run on a machine of the family that the policy names, or add a build for this one, with a min_tcb of its own",
		})
	}
	if b.Product == "" && b.MinTCB.FMC == 0 && hasFMC(r.AMD.Product) {
		refusals = append(refusals, Refusal{
			Key: key + ".min_tcb.fmc", Want: "evidence of a platform without an fmc, since the policy names none", Got: fmt.Sprintf("%d, of %q", r.AMD.Reported.FMC, clip(r.AMD.Product)),
			Fix: "add a build for this family, with its product and a min_tcb that has an fmc",
		})
	}
	refusals = append(refusals, b.checkMinTCB(r.AMD, key)...)
	if b.GuestSVN != nil && r.AMD.GuestSVN < *b.GuestSVN {
		refusals = append(refusals, Refusal{
			Key: key + ".guest_svn", Want: fmt.Sprintf("%d or more", *b.GuestSVN), Got: fmt.Sprint(r.AMD.GuestSVN),
			Fix: "run a newer build, or lower guest_svn if the security updates since then do not matter to you",
		})
	}
	return refusals
}

// checkMinTCB compares each component. What the machine reports is what its signing key vouches for; a guest that was
// launched under older firmware may have been tampered with before the update, so that counts too.
func (b *Build) checkMinTCB(a *tee.AMDFacts, key string) []Refusal {
	var refusals []Refusal
	least, reported, launch := b.MinTCB.Components(), a.Reported.Components(), a.Launch.Components()
	for i, want := range least {
		var got, fix []string
		if reported[i].SVN < want.SVN {
			got = append(got, fmt.Sprintf("%d, as the machine reports it", reported[i].SVN))
			fix = append(fix, "update the machine's firmware and microcode, and commit the update")
		}
		if launch[i].SVN < want.SVN {
			got = append(got, fmt.Sprintf("%d, when the guest was launched", launch[i].SVN))
			fix = append(fix, "launch the guest anew on a machine that is up to date")
		}
		if got != nil {
			refusals = append(refusals, Refusal{
				Key: key + ".min_tcb." + want.Name, Want: fmt.Sprintf("%d or more", want.SVN), Got: strings.Join(got, ", and "),
				Fix: strings.Join(fix, "; ") + "; or lower min_tcb." + want.Name + " if the security updates since then do not matter to you",
			})
		}
	}
	return refusals
}

// checkPrivilege refuses evidence that somebody less privileged than the guest's first software asked for, and evidence whose
// keys may have been revoked.
func (b *Build) checkPrivilege(r *Report, key string) []Refusal {
	a := r.AMD
	var refusals []Refusal
	if a.VMPL > b.VMPL {
		refusals = append(refusals, Refusal{
			Key: key + ".vmpl", Want: atMost(b.VMPL), Got: vmplText(a.VMPL),
			Fix: "have the guest's most privileged software ask for the evidence, or, if you trust all that runs at this level, set vmpl for this build",
		})
	}
	if !a.RevocationChecked && !b.UncheckedRevocation {
		refusals = append(refusals, Refusal{
			Key: key + ".unchecked_revocation", Want: "evidence whose keys are not on AMD's revocation list", Got: "evidence that was judged without AMD's revocation list",
			Fix: "have a source of AMD's collateral, which has the list, or set unchecked_revocation: true for this build",
		})
	}
	return refusals
}

func atMost(vmpl uint32) string {
	if vmpl == 0 {
		return "evidence that was asked for at VMPL 0, the most privileged level of the guest"
	}
	return fmt.Sprintf("evidence that was asked for at VMPL %d or a more privileged level", vmpl)
}

func vmplText(vmpl uint32) string {
	if vmpl > maxVMPL {
		return "evidence that the host asked for, and not the guest"
	}
	return fmt.Sprintf("evidence that was asked for at VMPL %d of the guest", vmpl)
}
