package jobspec

import (
	"cmp"
	"regexp"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
	"landfall.dev/kit"
)

var secretFields = []string{"secret", "part", "file"}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// secrets returns what the build is given: a map of variables to the names of
// secrets, or to their parts.
func (d *decoder) secrets(v *yaml11.Value) []api.SecretUse {
	var all []api.SecretUse
	for _, e := range d.entries("secrets", v) {
		use := api.SecretUse{Variable: e.Key.Text(), Part: "value", At: e.Key.At.Origin()}
		if e.Value.Map() == nil {
			use.Secret = d.text("the secret of "+yaml11.Brief(use.Variable), e.Value)
		} else {
			f := d.fields("secrets", e.Value, secretFields)
			use.Secret = d.text("secret", f["secret"])
			use.Part = cmp.Or(d.text("part", f["part"]), use.Part)
			use.File = d.flag("file", f["file"])
		}
		if !variableName.MatchString(use.Variable) {
			d.fail(e.Key, "secrets must map names of variables to names of secrets, but there is %q", yaml11.Brief(use.Variable))
		} else if kit.CheckID("project~"+use.Secret) != nil || use.Secret == "" {
			d.fail(e.Key, "%q is no name of a secret: it has letters, digits, '.', '_', '~' and '-'", yaml11.Brief(use.Secret))
		}
		all = append(all, use)
	}
	return all
}
