package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// flagHint says what would be right where pflag refused a flag: for an
// unknown one, the flag of the command that is spelled most like it.
func flagHint(cmd *cobra.Command, err error) string {
	_, name, found := strings.Cut(err.Error(), "unknown flag: --")
	if !found {
		return "usage: " + cmd.UseLine()
	}
	best, distance := "", 4 // farther names are no help
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := editDistance(name, f.Name); !f.Hidden && (d < distance || strings.HasPrefix(f.Name, name) && best == "") {
			best, distance = f.Name, d
		}
	})
	if best == "" {
		return "usage: " + cmd.UseLine()
	}
	return fmt.Sprintf("did you mean --%s?", best)
}

// serviceHint is the URL that was meant where the name of a collateral service's host stands in the
// place of a file that does not exist; "" if it is no such name.
func serviceHint(where string) string {
	u, err := url.Parse("https://" + where)
	if err != nil || exists(where) || strings.HasPrefix(where, ".") || strings.HasSuffix(where, ".conf") || strings.HasSuffix(where, ".json") {
		return ""
	}
	if !strings.Contains(strings.Trim(u.Hostname(), "."), ".") && u.Port() == "" {
		return ""
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/sgx/certification/v4/"
	}
	return fmt.Sprintf("did you mean %s ?", fetch.Redact(u.String()))
}

// urlHint is the URL that was meant where a host stands in the place of a file that does not
// exist; "" if it looks like a file: a name has few dots, and no port.
func urlHint(source string) string {
	u, err := url.Parse("https://" + source)
	if err != nil || exists(source) || u.User != nil || strings.HasPrefix(source, ".") || strings.Contains(source, "://") {
		return ""
	}
	if u.Port() == "" && strings.Count(u.Hostname(), ".") < 2 {
		return ""
	}
	return fmt.Sprintf("did you mean %s ?", u)
}

// editDistance is the Levenshtein distance of two short strings.
func editDistance(a, b string) int {
	if len(a) > 32 || len(b) > 32 {
		return 32
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
