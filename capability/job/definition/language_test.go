package definition_test

import "testing"

// What Jenkins Job Builder 6.4.1 makes of the same text (but for a script in
// place of builders).

func TestSubstitution(t *testing.T) {
	check(t, []example{
		{"braces double to be literal", `
- job-template:
    name: '{name}-j'
    script: |
      echo {name} {v} ${{HOME}} {{literal}} {{{{two}}}}
- project: {name: p, v: 7, jobs: ['{name}-j']}
`, []string{"p-j: echo p 7 ${HOME} {literal} {{two}}\n"}},
		{"a whole text keeps the kind of its variable", `
- job-template: {name: '{name}-j', builders: '{steps}', timeout: '{n}', artifacts: '{obj:files}'}
- project: {name: p, n: 12, files: [a, b], steps: [{shell: one}, {shell: two}], jobs: ['{name}-j']}
`, []string{"p-j: one; two"}},
		{"defaults of variables that are not defined", `
- job-template: {name: '{name}-j', script: 'a={a|one} b={b|} c={c|two words} d={d|x:y/z}'}
- project: {name: p, jobs: ['{name}-j']}
`, []string{"p-j: a=one b= c=two words d=x:y/z"}},
		{"empty and false values are defined", `
- job-template: {name: '{name}-j', script: 'a={a|one} b={b|two} c={c|three} d={d|four}'}
- project: {name: p, a: A, b: '', c: false, d: 0, jobs: ['{name}-j']}
`, []string{"p-j: a=A b= c=False d=0"}},
		{"a default may hold doubled braces", `
- job: {name: j, script: 'x{a|${{HOME}}} {{{b|c}}}'}
`, []string{"j: x${HOME c"}},
		{"a whole text swallows outer double braces", `
- job-template: {name: '{name}-j', script: ['{{{v}}}', '{{v}}', '{{{w|d}}}', 'x{{{v}}}y']}
- project: {name: p, v: V, jobs: ['{name}-j']}
`, []string{"p-j: V; {v}; d; x{V}y"}},
		{"a whole text may end with a newline", `
- job-template:
    name: '{name}-j'
    script: |
      {v}
- project: {name: p, v: [a, b], jobs: ['{name}-j']}
`, []string{"p-j: a; b"}},
		{"a name with a dash", `
- job-template: {name: '{name}-j', script: ['{my-var}', '{my-list}']}
- project: {name: p, my-var: v1, my-list: [a, 1, true, null, "it's"], jobs: ['{name}-j']}
`, []string{`p-j: v1; ['a', 1, True, None, "it's"]`}},
		{"variables refer to variables in any order", `
- job-template: {name: '{name}-j', img: 'reg/{name}:{tag}', tag: latest, script: 'run {img} {a}'}
- project: {name: p, tag: v2, a: '{b}1', b: '{c}2', c: '3{name}', jobs: ['{name}-j']}
`, []string{"p-j: run reg/p:v2 3p21"}},
		{"values that were put in are not read again", `
- job-template: {name: '{name}-j', script: 'echo {e}'}
- project: {name: p, e: '${{HOME}}', jobs: ['{name}-j']}
`, []string{"p-j: echo ${HOME}"}},
		{"parts of maps and lists", `
- job-template: {name: '{name}-j', script: '{d[k]} {d[l]} {d[l][0]}'}
- project: {name: p, v: V, d: {k: 'x{v}', l: ['{v}', {z: '{name}'}]}, jobs: ['{name}-j']}
`, []string{"p-j: xV ['V', {'z': 'p'}] V"}},
		{"formats of Python", `
- job: {name: j, v: ab, w: 5, f: 1.5, script: '[{v:>{w}}] [{v:*^6}] {w:03d} {w:x} {f:.2f} {v!r} {w:+} {v:.1}'}
`, []string{"j: [   ab] [**ab**] 005 5 1.50 'ab' +5 a"}},
		{"keys of maps are formatted", `
- job-template: {name: '{name}-j', m: {'{k}': 1}, script: '{m}!'}
- project: {name: p, k: K, jobs: ['{name}-j']}
`, []string{"p-j: {'K': 1}!"}},
		{"a plain job is formatted with its own keys and the defaults", `
- defaults: {name: global, color: red}
- job: {name: plain, size: big, script: 'echo {size} {color}'}
`, []string{"plain: echo big red"}},
		{"letters of all languages", `
- job: {name: j, größe: ☃, script: '{größe} ☃'}
`, []string{"j: ☃ ☃"}},
	})
}

func TestValuesAreYAML11(t *testing.T) {
	check(t, []example{
		{"scalars", `
- job-template: {name: '{name}-j', script: '{v}!'}
- project:
    name: p
    v: [1.10, yes, On, NO, y, 010, 0o17, 0x1F, 1_000, 12:30, 1e3, 1.0e+3, ~, 08, +7, .5, '007', 0b11, 1:30.5, -.inf, 1.0e+16, !!str 5]
    jobs: ['{name}-j']
`, []string{"p-j: [1.1, True, True, False, 'y', 8, '0o17', 31, 1000, 750, '1e3', 1000.0, None, '08', 7, 0.5, '007', 3, 90.5, -inf, 1e+16, '5']!"}},
		{"the last of equal keys wins", "- job: {name: a, script: one, script: two}", []string{"a: two"}},
		{"own keys win over merged ones, earlier merges over later", `
- job-template: {name: '{name}-j', script: '{v} {w}'}
- project: {name: p, v: own, jobs: ['{name}-j'], <<: [{v: merged, w: 1}, {w: 2}]}
`, []string{"p-j: own 1"}},
		{"aliases, and a kind that begins with _", `
- _steps: {list: &l [a, b]}
- job: {name: a, script: *l}
`, []string{"a: a; b"}},
	})
}

func TestAxes(t *testing.T) {
	check(t, []example{
		{"a product, in the order of numbers", `
- job-template: {name: '{name}-{a}-{b}', script: 'echo {a} {b}'}
- project: {name: p, b: [x, y], a: [1, 10, 2], jobs: ['{name}-{a}-{b}']}
`, []string{"p-1-x: echo 1 x", "p-1-y: echo 1 y", "p-2-x: echo 2 x", "p-2-y: echo 2 y", "p-10-x: echo 10 x", "p-10-y: echo 10 y"}},
		{"a list that the name does not mention is no axis", `
- job-template: {name: '{name}-{a}', script: 'echo {a} {b}'}
- project: {name: p, b: [x, y], a: [1, 2], jobs: ['{name}-{a}']}
`, []string{"p-1: echo 1 ['x', 'y']", "p-2: echo 2 ['x', 'y']"}},
		{"values with variables of their own", `
- job-template: {name: '{name}-{os}', script: 'echo {os} {img} {extra}'}
- project: {name: p, extra: none, os: [jammy: {img: u22}, noble: {img: 'u24/{os}', extra: more}], jobs: ['{name}-{os}']}
`, []string{"p-jammy: echo jammy u22 none", "p-noble: echo noble u24/noble more"}},
		{"exclude compares kinds: '1' is not 1", `
- job-template: {name: '{name}-{a}'}
- project: {name: p, a: [1, 2, '3'], exclude: [{a: '1'}, {a: 2}, {a: 3}], jobs: ['{name}-{a}']}
`, []string{"p-1: ", "p-3: "}},
		{"exclude in a template", `
- job-template: {name: '{name}-{a}', exclude: [{a: 1}]}
- project: {name: p, a: [1, 2], jobs: ['{name}-{a}']}
`, []string{"p-2: "}},
		{"exclude by a variable of an axis, and by a variable", `
- job-template: {name: '{name}-{os}', script: '{kind}'}
- project: {name: p, skip: rpm, os: [a: {kind: deb}, b: {kind: rpm}, c: {kind: deb}], exclude: [{kind: '{obj:skip}'}], jobs: ['{name}-{os}']}
`, []string{"p-a: deb", "p-c: deb"}},
		{"an axis in the template", `
- job-template: {name: '{name}-{a}', a: [1, 2], script: 'echo {a}'}
- project: {name: p, jobs: ['{name}-{a}']}
`, []string{"p-1: echo 1", "p-2: echo 2"}},
		{"an axis at the reference, even of the project's name", `
- job-template: {name: '{name}-{a}', script: 'echo {a}'}
- project: {name: p, jobs: ['{name}-{a}': {a: [1, 2], name: [x, y]}]}
`, []string{"x-1: echo 1", "x-2: echo 2", "y-1: echo 1", "y-2: echo 2"}},
		{"an axis with a default", `
- job-template: {name: '{name}-{a|x}', id: t, script: 'echo {a|x}'}
- project: {name: p, jobs: [t]}
- project: {name: q, a: [1, 2], jobs: [t]}
`, []string{"p-x: echo x", "q-1: echo 1", "q-2: echo 2"}},
		{"values that are lists", `
- job-template: {name: '{name}-{a}', script: 'echo {a}'}
- project: {name: p, a: [[1, 2], [3]], jobs: ['{name}-{a}']}
`, []string{"p-[1, 2]: echo [1, 2]", "p-[3]: echo [3]"}},
		{"kinds in names", `
- job-template: {name: '{name}-{v}'}
- project: {name: p, v: [1, 1.10, true, null, '007', 008], jobs: ['{name}-{v}']}
`, []string{"p-1: ", "p-1.1: ", "p-007: ", "p-008: ", "p-None: ", "p-True: "}},
		{"numbers and upper case in the order", `
- job: {name: j10}
- job: {name: j9}
- job: {name: J2}
- job: {name: j-1}
- job: {name: a}
`, []string{"J2: ", "a: ", "j9: ", "j10: ", "j-1: "}},
	})
}

func TestLevels(t *testing.T) {
	check(t, []example{
		{"defaults, template, project, reference, group, reference in the group", `
- defaults: {name: global, v1: D, v2: D, v3: D, v4: D, v5: D, v6: D}
- job-template: {name: '{name}-j', v2: T, v3: T, v4: T, v5: T, v6: T, script: '{v1} {v2} {v3} {v4} {v5} {v6}'}
- job-group: {name: g, v5: G, v6: G, jobs: ['{name}-j': {v6: GS}]}
- project: {name: p, v3: P, v4: P, v5: P, v6: P, jobs: [g: {v4: S, v5: S, v6: S}]}
`, []string{"p-j: D T P S G GS"}},
		{"other defaults complete the global ones", `
- defaults: {name: global, a: GA, b: GB, script: no}
- defaults: {name: mine, a: MA}
- job-template: {name: '{name}-j', defaults: mine, builders: [{shell: '{a} {b|none}'}]}
- project: {name: p, jobs: ['{name}-j']}
`, []string{"p-j: MA GB"}},
		{"a reference without variables", `
- job-template: {name: '{name}-j', script: x}
- project:
    name: p
    jobs:
      - '{name}-j':
`, []string{"p-j: x"}},
		{"plain jobs in projects and groups, more than once", `
- job: {name: plain, script: a}
- job-template: {name: '{name}-a', script: b}
- job-group: {name: g, jobs: ['{name}-a', plain]}
- project: {name: p, jobs: [g, plain]}
- project: {name: q, jobs: [plain]}
`, []string{"p-a: b", "plain: a"}},
		{"templates by id, and the names of themselves", `
- job-template: {name: '{name}-j', id: t1, script: '{template-name}'}
- job-template: {name: '{name}-k', id: t2, script: '{id|noid}'}
- project: {name: p, jobs: [t1, t2]}
`, []string{"p-j: {name}-j", "p-k: t2"}},
		{"a job before a template of one name", `
- job: {name: same, script: job}
- job-template: {name: same, script: template}
- project: {name: p, jobs: [same]}
`, []string{"same: job"}},
		{"the project's name overridden", `
- job-template: {name: '{name}-{k}', script: '{name}'}
- job-group: {name: g, jobs: ['{name}-{k}': {name: gs, k: a}, '{name}-{k}': {k: b}]}
- project: {name: p, jobs: [g, '{name}-{k}': {name: spec, k: c}]}
`, []string{"gs-a: gs", "p-b: p", "spec-c: spec"}},
		{"a template that nothing uses", "- job-template: {name: '{name}-j', script: '{undefined}'}", nil},
		{"a project without jobs", "- project: {name: p, v: 1}", nil},
	})
}
