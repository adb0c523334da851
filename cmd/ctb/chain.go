package main

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/cmd/internal/platforms"
)

// sources are where collateral comes from that nothing brought: a chain for each platform that has any.
type sources struct {
	dcap chain[dcap.Platform, dcap.Collateral]
	snp  chain[kds.Platform, kds.Collateral]
}

// addFile adds what a file has.
func (s *sources) addFile(f *evidence.File) {
	if f.DCAP != nil {
		s.dcap.add(fromFile, f.DCAP)
	}
	if f.SNP != nil {
		s.snp.add(fromFile, f.SNP)
	}
}

// addOpen adds what services have.
func (s *sources) addOpen(c *evidence.Collateral, in reader) {
	if d := c.DCAP(); d != nil {
		s.dcap.add(fromService, noting[dcap.Platform, dcap.Collateral]{d, c, in})
	}
	if d := c.SNP(); d != nil {
		s.snp.add(fromService, noting[kds.Platform, kds.Collateral]{d, c, in})
	}
}

// whose returns who had the collateral about a platform; "" for none.
func (s *sources) whose(about string) string { return or(s.dcap.whose(about), s.snp.whose(about)) }

// verifiers are those of all platforms, with these sources.
func (s *sources) verifiers(root *x509.Certificate) []attest.Verifier {
	var intel dcap.Source
	var amd kds.Source
	if len(s.dcap.links) > 0 { // a source that has nothing is another thing than none
		intel = &s.dcap
	}
	if len(s.snp.links) > 0 {
		amd = &s.snp
	}
	return platforms.Of(root, intel, amd)
}

// asker is a [dcap.Source], or that of another platform.
type asker[P, C any] interface {
	Collateral(ctx context.Context, p P) (*C, error)
}

// chain is an asker itself: the first of its links that has the collateral gives it. It notes who that was.
type chain[P, C any] struct {
	links []link[P, C]
	mu    sync.Mutex
	used  map[string]string // names of links, by what their collateral is about
}

type link[P, C any] struct {
	name string // such as fromFile
	asker[P, C]
}

func (c *chain[P, C]) add(name string, a asker[P, C]) { c.links = append(c.links, link[P, C]{name, a}) }

func (c *chain[P, C]) Collateral(ctx context.Context, p P) (*C, error) {
	var errs []error
	for _, one := range c.links {
		got, err := one.Collateral(ctx, p)
		if err == nil {
			c.note(about(p), one.name)
			return got, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// about names what collateral is about, as a platform's function of this name does by a report. A chip is one whatever its TCB.
func about(p any) string {
	switch p := p.(type) {
	case dcap.Platform:
		return p.String()
	case kds.Platform:
		return aboutChip(p.SignedBy, p.ChipID[:])
	}
	return ""
}

func (c *chain[P, C]) note(about, name string) {
	c.mu.Lock() // a verifier may still be waited for when the next one asks
	defer c.mu.Unlock()
	if c.used == nil {
		c.used = map[string]string{}
	}
	c.used[about] = name
}

func (c *chain[P, C]) whose(about string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used[about]
}

// noting tells what is wrong though there is an answer, such as a --cache that can't be written.
type noting[P, C any] struct {
	asker[P, C]
	service *evidence.Collateral
	in      reader
}

func (n noting[P, C]) Collateral(ctx context.Context, p P) (*C, error) {
	c, err := n.asker.Collateral(ctx, p)
	if wrong := n.service.Err(); wrong != nil && err == nil {
		n.in.note("%v", wrong)
	}
	return c, err
}
