from faults.command import main

main()
