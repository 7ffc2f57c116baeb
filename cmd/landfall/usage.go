package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"landfall.dev/kit"
)

// advise lets c and the commands below it say how they are written when they
// are called with other arguments, flags or subcommands than they have.
func advise(c *cobra.Command) {
	c.SetFlagErrorFunc(flagError)
	if accept := c.Args; accept != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := accept(c, args)
			switch {
			case err == nil:
				return nil
			case c.HasSubCommands() && len(args) > 0:
				return unknown(c, fmt.Sprintf("%s has no command %q", c.CommandPath(), args[0]), "", args[0], commandNames(c))
			}
			what := "too few arguments"
			for n := range args {
				if accept(c, args[:n]) == nil {
					what = "too many arguments"
				}
			}
			return fmt.Errorf("%s\n  write %s", what, c.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		advise(sub)
	}
}

// flagError returns err, of the flags of c, with what is to be written instead.
func flagError(c *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) {
		return fmt.Errorf("%w\n  see %s --help", err, c.CommandPath())
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return unknown(c, err.Error(), "--", missing.GetSpecifiedName(), names)
}

// unknown is the error that c has nothing called word, but names, which are
// written after mark.
func unknown(c *cobra.Command, what, mark, word string, names []string) error {
	if near := kit.Nearest(word, names); near != "" {
		return fmt.Errorf("%s\n  did you mean %s%s? see %s --help", what, mark, near, c.CommandPath())
	}
	return fmt.Errorf("%s\n  see %s --help", what, c.CommandPath())
}

func commandNames(c *cobra.Command) []string {
	var names []string
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	return names
}

// format is what a command prints: the value of --output.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "string" }

func (f *format) Set(s string) error {
	if formats := []string{"table", "json"}; !slices.Contains(formats, s) {
		return fmt.Errorf("there are %s", strings.Join(formats, " and "))
	}
	*f = format(s)
	return nil
}

// unanswered says what to do about a server that does not answer because of
// err.
func unanswered(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &authority):
		return "its certificate is signed by nobody that this system trusts: give the ca.pem of the server's data directory by --ca"
	case errors.As(err, &host):
		return "its certificate is for another name: " + host.Error()
	case errors.As(err, &plain):
		return "it speaks HTTP: write http:// in its address"
	}
	return "is it running? name another by --url or LANDFALL_URL, or once for all by landfall login"
}
