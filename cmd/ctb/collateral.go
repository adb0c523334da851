package main

import (
	"github.com/spf13/cobra"
)

func newCollateral(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "collateral",
		Short: "Fetch and show what the hardware's maker publishes about platforms",
		Long: `Collateral is what the hardware's maker publishes about platforms, and what
evidence is judged by. The maker signs every byte, so it may come from anywhere.

Intel's (SGX, TDX) is about a family of platforms: which of them are up to date
(TCB info), which quoting enclaves are (QE identity), and which certificates are
revoked. It is valid for about 30 days.

AMD's (SEV-SNP) is about one chip at one TCB: the certificate of its key (VCEK),
those above it, and the revocation list. Where a cloud's key (VLEK) signs, its
certificate comes with the evidence, and AMD has the rest.

AWS's (Nitro Enclaves) is inside the evidence.

A file of collateral serves machines that have no way to the maker.`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCollateralFetch(s), newCollateralShow(s))
	return cmd
}
