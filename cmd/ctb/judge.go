package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// evidenceFlags name what evidence is judged by. Every command that judges has them.
type evidenceFlags struct {
	policy, collateral, root, ca string
}

func (f *evidenceFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(text{&f.policy, "FILE"}, "policy", "the policy: which evidence is yours (YAML or JSON)")
	flags.Var(text{&f.collateral, "FILE|URL"}, "collateral", "the collateral of evidence that brings none")
	flags.Var(text{&f.root, "FILE"}, "root", "for development: a root certificate to trust in the place of Intel's")
	flags.Var(text{&f.ca, "FILE"}, "ca", "the certificates (PEM) that a server must be known by (default: the public CAs, and anybody for what carries its own evidence)")
	completeFlag(cmd, "policy", "yaml", "yml", "json")
	completeFlag(cmd, "collateral", "json")
	completeFlag(cmd, "root", "pem", "der", "crt", "cer")
	completeFlag(cmd, "ca", "pem", "crt", "cer")
}

// reader returns what reads the files and URLs of a command line.
func (f *evidenceFlags) reader(s streams) (reader, error) {
	client, err := trusting(f.ca)
	return reader{streams: s, client: client}, err
}

// judge answers the two questions about evidence: is it genuine, is it ours?
type judge struct {
	policy    *attest.Policy // nil: facts alone
	path      string         // of the policy
	platforms []attest.Verifier
}

// load reads the policy, the collateral and the root that the flags name.
func (f *evidenceFlags) load(ctx context.Context, in reader) (*judge, error) {
	j := &judge{path: f.policy, platforms: evidence.Platforms(nil, nil)}
	if f.policy != "" {
		var err error
		if j.policy, j.platforms, err = evidence.Load(f.policy, ""); err != nil {
			return nil, usagef("", "%w", err)
		}
	}
	v := j.platform("dcap")
	if f.root != "" {
		root, err := evidence.Root(f.root)
		if err != nil {
			return nil, usagef("", "--root: %w", err)
		}
		v.Root = root
	}
	if f.collateral == "-" {
		return nil, usagef("name a file or a URL", "--collateral can't be the standard input")
	}
	if f.collateral != "" {
		data, err := in.read(ctx, f.collateral)
		if err != nil {
			return nil, fmt.Errorf("--collateral: %w", err)
		}
		c, err := dcap.ParseCollateral(data)
		if err != nil {
			return nil, usagef("want the JSON form of dcap-qvl's QuoteCollateralV3", "--collateral: %s: %w", f.collateral, err)
		}
		v.Collateral = c
	}
	return j, nil
}

// platform returns the verifier of DCAP evidence, which the flags set up.
func (j *judge) platform(name string) *dcap.Verifier {
	for _, p := range j.platforms {
		if v, ok := p.(*dcap.Verifier); ok && p.Platform() == name {
			return v
		}
	}
	panic("package evidence always knows DCAP")
}

// policyName is the policy's file, or "default". A file of that name has its folder before it.
func (j *judge) policyName() string {
	switch {
	case j.policy == nil:
		return "default"
	case j.path == "default":
		return "./default"
	}
	return j.path
}

// byDefault adds to the reasons against genuine evidence what speaks against it
// where no policy is given.
func (j *judge) byDefault(r *attest.Report, refusals []attest.Refusal) []attest.Refusal {
	if j.policy != nil {
		return refusals
	}
	return append(append(attest.DefaultRefusals(r), refusals...), attest.Refusal{
		Key: "builds", Want: "a policy that names the builds that are yours", Got: "no policy",
		Fix: "give --policy FILE: nothing is accepted without one",
	})
}

// refusals are the reasons why genuine evidence is refused.
func refusals(err error) []attest.Refusal {
	var r *attest.RefusalError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return r.Refusals
	}
	return []attest.Refusal{{Key: "policy", Got: err.Error()}}
}
