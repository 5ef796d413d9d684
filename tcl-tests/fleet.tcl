# Makes the suite's fleets (tests/instances.tcl: Sentinel and Redis Cluster) report as its other tests do, in the lines
# that tcl-tests/run reads: "[ok]: name", "[err]: name", "[skip]: name", and "[1/1 done]: file" at the end.
#
# tcl-tests/run appends a line to its scratch copy of instances.tcl that sources this file. The environment says
# which ports may be used and where the list of skipped tests is.

set ::sentinel_base_port $::env(FLEET_PORT)
set ::redis_base_port [expr {$::env(FLEET_PORT) + 100}]
set ::redis_port_count 300

set ::fleet_file $::env(FLEET_FILE)
set ::fleet_skipped {}
set ::fleet_reported 0

set channel [open $::env(FLEET_SKIP)]
foreach name [split [read $channel] "\n"] {
    if {$name ne {}} { lappend ::fleet_skipped $name }
}
close $channel

proc fleet_skips descr {
    foreach name $::fleet_skipped {
        if {$name eq $descr} { return 1 }
        if {[string index $name 0] eq "/" && [regexp [string range $name 1 end] $descr]} { return 1 }
    }
    return 0
}

# A failed assertion ends the file, as it does in the suite: the tests behind it rest on it. The suite counts it a
# second time when the file ends by it.
proc test {descr code} {
    if {[fleet_skips $descr]} {
        puts "\[skip\]: $descr"
        return
    }
    if {![catch {uplevel 1 $code} error]} {
        puts "\[ok\]: $descr"
        return
    }
    incr ::failed
    if {[string match "assertion:*" $error]} {
        incr ::fleet_reported 2
        puts "\[err\]: $descr in tests/$::fleet_file.tcl"
        puts [string range $error 10 end]
        return -code continue
    }
    incr ::fleet_reported 2
    puts "\[exception\]: $descr"
    error $error $::errorInfo
}

# Failures outside of tests: a crash report in a log, a descriptor that leaked into a script, a wait that found nothing.
proc end_tests {} {
    if {$::failed > $::fleet_reported} {
        puts "\[err\]: (outside of tests) in tests/$::fleet_file.tcl"
    }
    puts "\[1/1 done\]: $::fleet_file"
    exit [expr {$::failed > 0}]
}
