package api

// JobSpec is what a job does: the outcome of expanding the definitions under
// jobs/ in a project. A Build keeps the spec that it started with.
type JobSpec struct {
	// Name is the expanded name, unique in a project: "ledger-test".
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// MovedFrom is what the job was called before: its builds stay its own.
	MovedFrom string `json:"movedFrom,omitempty"`

	// Image is the image that the build's container is made from; the process
	// engine ignores it. Empty means the runner's default.
	Image string `json:"image,omitempty"`

	// Labels are what the engine must have that the build runs on.
	Labels []string `json:"labels,omitempty"`
	// Services run beside the build, in a network that only they are in.
	Services []Service `json:"services,omitempty"`
	// Cache maps keys to directories in the container that are kept for later
	// builds of the project. What a change's builds write, only they see.
	Cache map[string]string `json:"cache,omitempty"`
	// CacheMB bounds caches, by their keys; those it does not name may take 10 GiB.
	CacheMB map[string]int64 `json:"cacheMB,omitempty"`
	// Resources are what a build may use; nil means what its runner gives.
	Resources *Resources `json:"resources,omitempty"`

	// Script holds the shell steps, run in order by "sh -e" in the checked-out
	// sources; the first that fails ends the build.
	Script []string `json:"script"`

	// SourceDir is the folder of the workspace that the sources are put into;
	// empty means the workspace itself.
	SourceDir string `json:"sourceDir,omitempty"`

	// Steps are run after Script, or instead of it; After when they have ended.
	Steps []Step  `json:"steps,omitempty"`
	After []After `json:"after,omitempty"`

	// Parameters are variables with defaults; a build's own values go before.
	Parameters []Parameter `json:"parameters,omitempty"`

	// Env is added to the environment of each step.
	Env map[string]string `json:"env,omitempty"`

	// TimeoutSeconds ends the build when it takes longer; 0 means 1800.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`

	// QuietSeconds ends the build when it writes nothing for so long; 0 means
	// never.
	QuietSeconds int `json:"quietSeconds,omitempty"`
	// TimeoutFails makes the result of a build that took too long FAILURE
	// instead of ABORTED, for the steps in After.
	TimeoutFails bool `json:"timeoutFails,omitempty"`

	// Describe and BuildName, in which variables are replaced, are shown with
	// a build that has ended.
	Describe  *Describe `json:"describe,omitempty"`
	BuildName string    `json:"buildName,omitempty"`

	// Secrets are what a build of what was reviewed is given of its project's.
	Secrets []SecretUse `json:"secrets,omitempty"`
	// Messages are sent when a build has ended.
	Messages []Announcement `json:"messages,omitempty"`
	// Retry, if there, says when a build that did not pass is tried again.
	Retry *Retry `json:"retry,omitempty"`
	// Finds change the result of a build by its log.
	Finds []Find `json:"finds,omitempty"`
	// Locks are what a build must hold while it runs, by their names.
	Locks []LockUse `json:"locks,omitempty"`
	// BlockedBy are regular expressions for names of jobs of the project whose
	// builds do not run beside one of this job. They are among Locks, too.
	BlockedBy []string `json:"blockedBy,omitempty"`
	// Matrix, if there, makes a build several.
	Matrix *Matrix `json:"matrix,omitempty"`

	// Missing are parts of the definition that are not carried out.
	Missing []MissingPart `json:"missing,omitempty"`

	// Triggers say what starts the job by itself, Downstream which jobs it starts
	// when it has ended.
	Triggers   []Trigger    `json:"triggers,omitempty"`
	Downstream []Downstream `json:"downstream,omitempty"`

	// Artifacts are glob patterns (path.Match per segment, ** for any depth) of
	// files that are kept as blobs when the build has passed.
	Artifacts []string `json:"artifacts,omitempty"`

	// ArtifactsExcept are patterns of files that are not kept all the same.
	ArtifactsExcept []string `json:"artifactsExcept,omitempty"`
	// ArtifactsAlways keeps them of a build that has failed too.
	ArtifactsAlways bool `json:"artifactsAlways,omitempty"`
	// ArtifactsNeeded fails a build that none of them is found in.
	ArtifactsNeeded bool `json:"artifactsNeeded,omitempty"`

	// Reports are the reports to keep, also of a build that has failed.
	Reports *ReportPatterns `json:"reports,omitempty"`

	// Pack, if there, makes an OCI image out of the build's files.
	Pack *PackSpec `json:"pack,omitempty"`

	// Once tells that it is not to be tried again when its host is lost: it may
	// have had its effect, such as a deployment.
	Once bool `json:"once,omitempty"`

	// Pipeline tells that a build of it that a schedule has ordered, and that has
	// passed, starts the project's pipeline, by the event "timer".
	Pipeline bool `json:"pipeline,omitempty"`

	// Schedule, if there, says at which times it is built by itself.
	Schedule *ScheduleSpec `json:"schedule,omitempty"`

	// Origin says where each definition came from, outermost first: project,
	// template, macro, each as "file:line".
	Origin []string `json:"origin,omitempty"`
}

// Service is a program, such as a database, that runs beside a build, which
// reaches it by its name.
type Service struct {
	Name    string            `json:"name"`
	Image   string            `json:"image"`
	Command []string          `json:"command,omitempty"` // empty: the image's own
	Env     map[string]string `json:"env,omitempty"`
	// Ready is a shell's line that is run in it until it ends with 0: the build
	// begins then. Without it the image's own health check decides.
	Ready string `json:"ready,omitempty"`
}

// Resources bound what a build uses. 0 means what its runner gives.
type Resources struct {
	CPUs     float64 `json:"cpus,omitempty"`
	MemoryMB int64   `json:"memoryMB,omitempty"`
	Pids     int64   `json:"pids,omitempty"` // processes and threads
	DiskMB   int64   `json:"diskMB,omitempty"`
}

// PackSpec says how a build's files become an OCI image: one layer of files
// on a base.
type PackSpec struct {
	// Repository is the image's name in the registry: "ledger".
	Repository string `json:"repository"`
	// Base is an image in the registry, by digest or tag; empty means scratch.
	Base string `json:"base,omitempty"`
	// Files maps a path in the build's workspace to the path in the image.
	Files map[string]string `json:"files"`
	// Entrypoint is the image's command.
	Entrypoint []string `json:"entrypoint"`
	// Env is the image's environment.
	Env map[string]string `json:"env,omitempty"`
}
