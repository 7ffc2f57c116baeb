package query

import (
	"errors"
	"fmt"
	"regexp"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"landfall.dev/kit"
)

const (
	maxPattern = 200 // instructions that a pattern compiles to
	// matchUnit is what one of CEL's units is worth when a string is matched, in
	// bytes times instructions: matching takes time for each of both.
	matchUnit = 512
)

// errCostly is that testing a document costs more than maxFilterCost.
var errCostly = errors.New("too costly")

// patterns tells whether e matches patterns, or why one of them cannot be used.
// It has to be constant, so that what it costs is known before it is used.
func patterns(e celast.Expr) (found bool, err error) {
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		if err != nil || e.Kind() != celast.CallKind || e.AsCall().FunctionName() != overloads.Matches {
			return
		}
		found = true
		args := e.AsCall().Args()
		pattern, ok := literal(args[len(args)-1]).(types.String)
		if !ok {
			err = kit.Errorf(kit.ErrInvalid, "", "the filter cannot be used: the pattern of matches has to be a string in quotes, not computed")
			return
		}
		size, wrong := types.RegexProgramSize(string(pattern))
		switch {
		case wrong != nil:
			err = kit.Errorf(kit.ErrInvalid, "", "the filter cannot be used: %v", wrong)
		case size > maxPattern:
			err = &kit.Error{
				Fault:  kit.ErrTooLarge,
				Detail: fmt.Sprintf("the pattern %q of matches compiles to %d instructions, the limit is %d", string(pattern), size, maxPattern),
				Hint:   "repeat less in it: x{0,500} is 500 times x",
			}
		}
	}))
	return found, err
}

// boundedMatches makes a program stop before it matches what is too costly, and
// count the cost of what it matches.
func boundedMatches() []cel.ProgramOption {
	sizes := map[string]int{} // of the program's patterns, filled when it is planned
	costOf := func(text, pattern ref.Val) uint64 {
		return 1 + uint64(len(text.(types.String))*sizes[string(pattern.(types.String))]/matchUnit)
	}
	plan := func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		if sizes[pattern], err = types.RegexProgramSize(pattern); err != nil {
			return nil, err
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
			text, ok := args[0].(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(args[0])
			}
			if costOf(text, args[1]) > maxFilterCost {
				return types.WrapErr(errCostly)
			}
			return types.Bool(compiled.MatchString(string(text)))
		}), nil
	}
	track := func(args []ref.Val, _ ref.Val) *uint64 {
		if _, ok := args[0].(types.String); !ok {
			return nil
		}
		c := costOf(args[0], args[1])
		return &c
	}
	var options []cel.ProgramOption
	for _, overload := range []string{overloads.Matches, overloads.MatchesString} {
		options = append(options,
			cel.OptimizeRegex(&interpreter.RegexOptimization{Function: overloads.Matches, OverloadID: overload, RegexIndex: 1, Factory: plan}),
			cel.CostTrackerOptions(cost.OverloadTracker(overload, track)))
	}
	return options
}

// costly tells whether err is that testing a document costs too much.
func costly(err error) bool {
	if err == nil {
		return false
	}
	var cancelled interpreter.EvalCancelledError
	return errors.Is(err, errCostly) || errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded
}
