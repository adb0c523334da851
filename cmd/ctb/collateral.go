package main

import (
	"github.com/spf13/cobra"
)

func newCollateral(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "collateral",
		Short: "Fetch and show what the hardware's maker publishes about platforms",
		Long: `Collateral is what Intel publishes about a family of platforms: which of them
are up to date (TCB info), which quoting enclaves are (QE identity), and which
certificates are revoked. Evidence is judged by it. Intel signs every byte, so
it may come from anywhere; it is valid for about 30 days.

A file of collateral serves machines that have no way to Intel.`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCollateralFetch(s), newCollateralShow(s))
	return cmd
}
