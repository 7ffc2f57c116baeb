// Package cron says at which times a job's timed trigger fires.
//
// A Table is read from lines as Jenkins has them, of five fields each: minute,
// hour, day of the month, month, day of the week. All of them must fit, the two
// kinds of days too.
//
//   - 5  1-5  1-31/2  1,15  MON-FRI  JAN   what crontab(5) says
//     H  H(0-7)                               one number that is the job's own
//     H/15  H(0-29)/10                        each so many, from a number of its own
//     @hourly @daily @midnight @weekly @monthly @yearly @annually
//     H for all that they leave open
//     @every 90m                              each so many minutes or hours, by the time that passes
//     TZ=Europe/Berlin                        the zone of the lines below; without one UTC
//     # and empty lines                       are left out
//
// An interval is Landfall's own; Jenkins has none. It begins where the job's name
// says, and a restart or a deployment of the job does not begin it anew.
//
// H is drawn from the job's name as Jenkins draws it (Java's Random, seeded with
// the folded MD5 of the name), so a job that moves here keeps its times, and two
// jobs of a team do not begin at once.
//
// Where clocks are changed: a line whose hours are not all of the day's fires
// once at each of its times of a day. A time that the clock jumps over is put
// off to the first minute that exists; one that the clock shows twice counts the
// first time. A line for all hours fires whenever the clock shows its minute: by
// the time that passes, not by the clock.
//
// A line that never fires, such as one for the 31st of June, is refused.
package cron
